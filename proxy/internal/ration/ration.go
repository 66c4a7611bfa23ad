// Package ration keeps the log readable while the same thing happens to many clients.
//
// A client can cause log lines, and an outage causes one for each client. So such lines
// have a kind, and a Book allows some of each kind in a period. It counts the others, and
// says at the period's end how many were left out. At debug level nothing is left out.
package ration

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"holdfast/heartbeat"
)

// Each kind may have Lines lines in a Period, which begins with the first of them.
const (
	Lines  = 10
	Period = 10 * time.Second
)

// A Book has the rations of all kinds. It may be used by any goroutine. A nil Book allows
// everything.
type Book struct {
	log   *slog.Logger
	clock func() heartbeat.Time
	after func(d time.Duration, job func())

	mu    sync.Mutex // guards kinds
	kinds map[string]*period
}

// A period is the present or last one of a kind.
type period struct {
	ends    heartbeat.Time
	lines   int        // written
	leftOut int        // not told yet
	level   slog.Level // of the first line that was left out
}

// New returns a Book whose rations are all whole. after runs a job when some time has
// passed.
func New(log *slog.Logger, clock func() heartbeat.Time, after func(d time.Duration, job func())) *Book {
	return &Book{log: log, clock: clock, after: after, kinds: make(map[string]*period)}
}

// Allows reports whether a line of that level and kind is to be written now. A kind must
// not come from a peer.
func (b *Book) Allows(level slog.Level, kind string) bool {
	switch {
	case b == nil:
		return true
	case !b.log.Enabled(context.Background(), level):
		return false
	case b.log.Enabled(context.Background(), slog.LevelDebug):
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	p := b.kinds[kind]
	if p == nil {
		p = new(period)
		b.kinds[kind] = p
	}
	if now >= p.ends {
		b.tell(kind, p)
		*p = period{ends: now.Add(Period)}
	}
	if p.lines < Lines {
		p.lines++
		return true
	}
	if p.leftOut++; p.leftOut == 1 {
		p.level = level
		b.after(p.ends.Sub(now), func() { b.end(kind) })
	}
	return false
}

// end tells what was left out, when the time of a period is over.
func (b *Book) end(kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell(kind, b.kinds[kind])
}

// tell writes how many lines of a kind were left out, if any. The caller holds mu.
func (b *Book) tell(kind string, p *period) {
	if p.leftOut > 0 {
		b.log.LogAttrs(context.Background(), p.level, "log lines left out", slog.String("kind", kind), slog.Int("lines", p.leftOut))
		p.leftOut = 0
	}
}
