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

// What the actors do is told to a journal: it prints, keeps the last events for
// the page, and is what the story waits on instead of guessing times.
type journal struct {
	start time.Time
	lines chan string   // to be printed
	done  chan struct{} // closed when printLines has ended

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
	name   string        // the client that it is about
	code   ws.StatusCode // of an ended visit, 0 if it ended without a Close
	reason string        // an ended visit's, from its Close, or why Holdfast ended a session
}

// since is the time from an earlier moment of the journal to the event.
func (e event) since(earlier float64) time.Duration {
	return time.Duration((e.At - earlier) * float64(time.Second))
}

// kind says what the story can wait for.
type kind uint8

const (
	remark  kind = iota // only to be read
	opened              // the service has a new visit
	ended               // the service knows that a visit is over
	cut                 // the middlebox has forgotten a connection
	settled             // Holdfast has ended, counted and logged a session
)

// The actors; clients have names of their own.
const (
	theService   = "service"
	theMiddlebox = "middlebox"
	theHoldfast  = "holdfast"
)

const (
	keptEvents = 200
	// Lines that may wait for a terminal that stands still. Event loops write
	// here too, and must not wait for it; what is beyond is lost to the
	// terminal alone.
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
		// There is nowhere to say that nobody reads.
		_, _ = io.WriteString(out, line)
	}
}

// close waits until all lines are printed. What comes afterwards is not.
func (j *journal) close() {
	j.mu.Lock()
	j.closed = true
	close(j.lines)
	j.mu.Unlock()
	<-j.done
}

// now is this moment as events tell it.
func (j *journal) now() float64 { return time.Since(j.start).Seconds() }

// print prints lines that are no events.
func (j *journal) print(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue(text)
}

// queue is called with mu held.
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

// add numbers, times and prints an event, and wakes all who wait.
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

// await returns the first event of that kind about that client, be it past or to come.
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
