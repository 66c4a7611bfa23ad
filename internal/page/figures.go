package page

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// none stands where nothing was measured.
const none = "–"

// count writes a number with commas between the thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes a number with the word for one or for many.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// milliseconds writes a round trip with two or three digits.
func milliseconds(ms *float64) string {
	switch {
	case ms == nil:
		return none
	case *ms < 1:
		return fmt.Sprintf("%.2f ms", *ms)
	case *ms < 10:
		return fmt.Sprintf("%.1f ms", *ms)
	case *ms < 1000:
		return fmt.Sprintf("%.0f ms", *ms)
	}
	return fmt.Sprintf("%.1f s", *ms/1000)
}

// bound writes the bound of a bucket of round trips.
func bound(ms float64) string {
	if ms < 1000 {
		return strconv.FormatFloat(ms, 'f', -1, 64) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', -1, 64) + " s"
}

// size writes a number of bytes.
func size(bytes float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		switch {
		case unit == "B" && bytes < 1000:
			return fmt.Sprintf("%.0f B", math.Ceil(bytes))
		case bytes < 9.95:
			return fmt.Sprintf("%.1f %s", bytes, unit)
		case bytes < 1000:
			return fmt.Sprintf("%.0f %s", bytes, unit)
		}
		bytes /= 1024
	}
	return fmt.Sprintf("%.1f TiB", bytes)
}

// span writes a time in its two largest units.
func span(seconds float64) string {
	s := int(seconds)
	switch {
	case seconds < 10:
		return fmt.Sprintf("%.1f s", seconds)
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}

// roughly writes a window of time in minutes, or in seconds if it is short.
func roughly(seconds float64) string {
	if seconds < 90 {
		return counted(int(math.Round(seconds)), "second", "seconds")
	}
	return counted(int(math.Round(seconds/60)), "minute", "minutes")
}

// shortened cuts a text in its middle, so that it is at most most characters long.
func shortened(text string, most int) string {
	r := []rune(text)
	if len(r) <= most {
		return text
	}
	head := (most - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(most-1-head):])
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
