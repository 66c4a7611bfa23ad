package blackbox

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// A Scrape is one answer of /metrics.
type Scrape struct {
	t    *testing.T
	Text []byte
}

// Value returns the value of a series, or the sum over all series of a family.
func (s Scrape) Value(name string) (sum float64) {
	s.t.Helper()
	found := false
	for line := range bytes.Lines(s.Text) {
		series, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		family, _, _ := strings.Cut(series, "{")
		if series != name && family != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		sum += v
		found = true
	}
	if !found {
		s.t.Fatalf("no series %s", name)
	}
	return sum
}

// Drops lists the series of dropped sessions that are not zero.
func (s Scrape) Drops() string {
	var lines strings.Builder
	for line := range bytes.Lines(s.Text) {
		if bytes.HasPrefix(line, []byte("holdfast_sessions_dropped_total{")) && !bytes.HasSuffix(line, []byte(" 0\n")) {
			lines.Write(line)
		}
	}
	return lines.String()
}

// Dropped names the series of sessions that were dropped for that reason.
func Dropped(side, reason string) string {
	return fmt.Sprintf(`holdfast_sessions_dropped_total{reason=%q,side=%q}`, reason, side)
}

// Closed names the series of sessions that were closed by that side.
func Closed(side string) string { return OfSide("holdfast_sessions_closed_total", side) }

// Handshakes names the series of handshakes that ended like that.
func Handshakes(result string) string {
	return fmt.Sprintf(`holdfast_handshakes_total{result=%q}`, result)
}

// OfSide names the series of a family that has one for each side.
func OfSide(family, side string) string { return fmt.Sprintf(`%s{side=%q}`, family, side) }
