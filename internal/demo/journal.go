package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// journal records what the actors do. It prints each event, and keeps the last ones for
// the page. The story waits for its events.
type journal struct {
	start time.Time
	lines chan string   // to be printed
	done  chan struct{} // closed when printLines has returned

	mu     sync.Mutex
	seq    int
	events []event       // the last ones
	more   chan struct{} // closed and replaced at the next event
	closed bool
}

// event is one line of the demo.
type event struct {
	Seq  int     `json:"seq"`
	At   float64 `json:"at"` // seconds since the demo began
	Who  string  `json:"who"`
	Text string  `json:"text"`

	kind   kind
	name   string        // the client that the event is about
	code   ws.StatusCode // ended: the code of the Close, 0 if there was no Close
	reason string        // ended: the reason of the Close; settled: why Holdfast ended the session
}

// since returns the time from an earlier moment of the journal to the event.
func (e event) since(earlier float64) time.Duration {
	return time.Duration((e.At - earlier) * float64(time.Second))
}

// kind is the kind of an event. The story waits for events of every kind but remark.
type kind uint8

const (
	remark  kind = iota // only printed and shown
	opened              // a client's session with the service has begun
	ended               // the service knows that a client's session has ended
	cut                 // the middlebox has forgotten a connection
	settled             // Holdfast has ended, counted and logged a session
)

// The actors. A client's name is its own.
const (
	theService   = "service"
	theMiddlebox = "middlebox"
	theHoldfast  = "holdfast"
)

const (
	keptEvents = 200
	// waitingLines is how many lines may wait for a blocked terminal. Event loops
	// write lines too, and must not wait for the terminal. More lines are not printed,
	// but the page still shows them.
	waitingLines = 1024
)

func newJournal(out io.Writer) *journal {
	j := &journal{
		start: time.Now(),
		lines: make(chan string, waitingLines),
		done:  make(chan struct{}),
		more:  make(chan struct{}),
	}
	go j.printLines(out)
	return j
}

func (j *journal) printLines(out io.Writer) {
	defer close(j.done)
	for line := range j.lines {
		// The error cannot be reported, since out is the terminal.
		_, _ = io.WriteString(out, line)
	}
}

// close waits until all lines are printed. Later lines are not printed.
func (j *journal) close() {
	j.mu.Lock()
	j.closed = true
	close(j.lines)
	j.mu.Unlock()
	<-j.done
}

// now returns the seconds since the demo began.
func (j *journal) now() float64 { return time.Since(j.start).Seconds() }

// print prints lines that are not events.
func (j *journal) print(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue(text)
}

// queue hands text to printLines. The text is lost if too many lines wait. It is called
// with mu held.
func (j *journal) queue(text string) {
	if j.closed {
		return
	}
	select {
	case j.lines <- text:
	default:
	}
}

func (j *journal) remark(who, format string, args ...any) {
	j.add(event{Who: who, Text: fmt.Sprintf(format, args...)})
}

// add gives an event its number and time, prints it, and wakes all waiting goroutines.
func (j *journal) add(e event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq, e.At = j.seq, j.now()
	if len(j.events) == keptEvents {
		j.events = slices.Delete(j.events, 0, 1)
	}
	j.events = append(j.events, e)
	close(j.more)
	j.more = make(chan struct{})
	j.queue(fmt.Sprintf("%6.1fs  %-9s  %s\n", e.At, e.Who, e.Text))
}

// after returns the kept events that came after number seq, and a channel that
// is closed at the next one.
func (j *journal) after(seq int) ([]event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first, _ := slices.BinarySearchFunc(j.events, seq+1, func(e event, n int) int { return e.Seq - n })
	return slices.Clone(j.events[first:]), j.more
}

// await returns the first event of kind k about the client name. It waits for the event if
// there is none yet.
func (j *journal) await(ctx context.Context, k kind, name string) (event, error) {
	seq := 0
	for {
		events, more := j.after(seq)
		for _, e := range events {
			if e.kind == k && e.name == name {
				return e, nil
			}
			seq = e.Seq
		}
		select {
		case <-more:
		case <-ctx.Done():
			return event{}, context.Cause(ctx)
		}
	}
}
