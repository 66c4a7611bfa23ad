package page

import "holdfast/internal/status"

// bar is a column of a histogram.
type bar struct {
	X, Y, W, H float64
	Title      string
	Slow       bool
}

// tick is a mark on the axis of a histogram.
type tick struct {
	X    float64
	Text string
}

// histogram shows how long pings took on one side.
type histogram struct {
	Side          string // client or upstream
	Title         string
	Count         string
	P50, P90, P99 string
	Label         string // what the picture says, in words
	Bars          []bar
	Ticks         []tick
	Empty         bool
}

// The size of a histogram, in units of its picture.
const (
	histogramWidth  = 480.0
	histogramHeight = 110.0
)

// slowFrom is the time in milliseconds from which on a round trip is shown as a slow one.
const slowFrom = 1000

func histogramOf(side, title string, l status.Leg) histogram {
	h := histogram{
		Side: side, Title: title, Count: counted(int(l.RTT.Count), "ping", "pings"), Empty: l.RTT.Count == 0,
		P50: milliseconds(l.RTT.P50), P90: milliseconds(l.RTT.P90), P99: milliseconds(l.RTT.P99),
	}
	if h.Empty {
		return h
	}
	h.Label = title + ": half of the pings within " + h.P50 + ", nine of ten within " + h.P90 + ", 99 of 100 within " + h.P99 + "."
	most, below := uint64(1), uint64(0)
	for _, b := range l.RTT.Buckets {
		most = max(most, b.Count-below)
		below = b.Count
	}
	width := histogramWidth / float64(max(1, len(l.RTT.Buckets)))
	below = 0
	var from float64 // the lower bound of the bucket
	for i, b := range l.RTT.Buckets {
		n := b.Count - below
		height := float64(n) / float64(most) * histogramHeight
		if n > 0 {
			height = max(height, 2)
		}
		x := float64(i) * width
		title := "more than " + bound(from)
		if b.LE != nil {
			title = bound(from) + " to " + bound(*b.LE)
			if isDecade(*b.LE) {
				h.Ticks = append(h.Ticks, tick{x + width, bound(*b.LE)})
			}
		}
		h.Bars = append(h.Bars, bar{
			X: x + 2, Y: histogramHeight - height, W: width - 4, H: height,
			Title: title + ": " + count(int(n)), Slow: from >= slowFrom,
		})
		if below = b.Count; b.LE != nil {
			from = *b.LE
		}
	}
	return h
}

// isDecade reports whether the bound is 1, 10, 100 … milliseconds.
func isDecade(ms float64) bool {
	for d := 1.0; d <= ms; d *= 10 {
		if d == ms {
			return true
		}
	}
	return false
}
