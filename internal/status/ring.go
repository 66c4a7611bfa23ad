package status

import (
	"sync"
	"time"

	"holdfast/proxy"
)

// EndsKept is how many ends a Book keeps.
const EndsKept = 100

// A ring keeps the last ends. Event loops add to it, so nothing is done under its lock but
// a copy.
type ring struct {
	mu    sync.Mutex
	kept  [EndsKept]timedEnd // the end with number n is at n modulo EndsKept
	added uint64             // the number of the next end
}

type timedEnd struct {
	at  time.Time
	end proxy.Ended
}

func (r *ring) add(at time.Time, e *proxy.Ended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[r.added%EndsKept] = timedEnd{at, *e}
	r.added++
}

// since returns the ends from number n on, at most so many of the newest, in the order in
// which they came. next is the number of the next one.
func (r *ring) since(n uint64, most int) (ends []timedEnd, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := max(n, r.added-min(r.added, uint64(min(most, EndsKept))))
	for i := first; i < r.added; i++ {
		ends = append(ends, r.kept[i%EndsKept])
	}
	return ends, r.added
}
