package page

import (
	"slices"
	"strings"

	"holdfast/internal/status"
)

// rowWidth is the width of the longest bar of rows.
const rowWidth = 100.0

// row is a bar with a sentence.
type row struct {
	Side     string
	Count    string
	Width    float64 // up to rowWidth
	Sentence string
	n        int
}

// scale sorts rows by their numbers, the largest first, and gives each bar its width. A
// number that is not 0 can be seen.
func scale(rows []row) {
	slices.SortStableFunc(rows, func(a, b row) int { return b.n - a.n })
	for i := range rows {
		if rows[i].n > 0 {
			rows[i].Width = max(2, float64(rows[i].n)/float64(rows[0].n)*rowWidth)
		}
		rows[i].Count = count(rows[i].n)
	}
}

// droppedOf has the sessions of the window that were dropped, the most frequent first.
func droppedOf(s status.Status) (rows []row) {
	for _, d := range s.Ends.Dropped {
		if d.Count > 0 {
			rows = append(rows, row{Side: d.Side, n: int(d.Count), Sentence: dropped(d.Side, d.Reason, int(d.Count))})
		}
	}
	scale(rows)
	return rows
}

// closedOf has the sessions of the window that were closed in order.
func closedOf(s status.Status) (rows []row) {
	for _, c := range s.Ends.Closed {
		if c.Count > 0 {
			rows = append(rows, row{Side: "closed", n: int(c.Count), Sentence: closed(c.Side, int(c.Count))})
		}
	}
	scale(rows)
	return rows
}

// funnelOf has the steps of the handshakes, and where clients were lost.
func funnelOf(by map[string]uint64) (steps, lost []row) {
	asked, refused := int(by["ok"]), 0
	for _, r := range results {
		n := int(by[r.name])
		if n == 0 {
			continue
		}
		asked += n
		side := "upstream"
		if r.refused {
			refused += n
			side = "proxy"
		}
		words := r.words
		if n == 1 {
			words = strings.NewReplacer("were ", "was ", "themselves", "itself", "their ", "its ").Replace(words)
		}
		lost = append(lost, row{Side: side, n: n, Sentence: counted(n, "client ", "clients ") + words + "."})
	}
	if asked == 0 {
		return nil, nil
	}
	steps = []row{
		{Side: "client", n: asked, Sentence: "asked for a session"},
		{Side: "proxy", n: asked - refused, Sentence: "were let in by Holdfast"},
		{Side: "upstream", n: int(by["ok"]), Sentence: "got a session with an upstream"},
	}
	scale(steps)
	scale(lost)
	return steps, lost
}
