package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// scripts are what the scripts of two pages found out about their paths. The middlebox has
// cut both.
type scripts struct {
	through  watch // page D, through Holdfast
	straight watch // page E, straight to the service

	cut    time.Time
	isLost bool          // E's connection was cut, and E was not told
	waited time.Duration // how long E's script had waited after the cut when it was last asked
}

// playScripts connects two pages with the same script, one of them through Holdfast. When
// D's script has got heartbeats, the middlebox cuts both connections. It waits until
// D's script knows, and asks E's.
func (s *stage) playScripts(ctx context.Context) (scripts, error) {
	d, err := s.enter(ctx, "page-D", s.through, "connected through Holdfast")
	if err != nil {
		return scripts{}, err
	}
	defer s.hangUp(d)
	e, err := s.enter(ctx, "page-E", s.straight, "connected straight to the service")
	if err != nil {
		return scripts{}, err
	}
	defer s.hangUp(e)
	s.journal.remark("both", "run the same script, which waits for messages")

	var p scripts
	var running sync.WaitGroup
	defer running.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	steady, over := make(chan struct{}), make(chan struct{})
	running.Go(func() {
		defer close(over)
		p.through = d.watch(watching, s.times.bound, func() { close(steady) })
	})
	running.Go(func() { p.straight = e.watch(watching, s.times.bound, func() {}) })

	if err := s.comes(ctx, steady); err != nil {
		return scripts{}, err
	}
	p.cut = time.Now()
	s.cutOff(d.name, d.conn.LocalAddr())
	s.cutOff(e.name, e.conn.LocalAddr())
	if err := s.comes(ctx, over); err != nil {
		return scripts{}, err
	}
	stop()
	running.Wait()
	p.waited, p.isLost = time.Since(p.cut), s.isLost(e.name) && !e.hasEnded()
	s.tellScripts(d, e, p)

	_, err = s.await(ctx, settled, d.name)
	return p, notHeard(ctx, err)
}

// comes waits until done is closed, but no longer than patience.
func (s *stage) comes(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-time.After(s.times.patience):
		return nil // the outcome shows it
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *stage) tellScripts(d, e *client, p scripts) {
	if p.knows() {
		s.journal.remark(d.name, "its script has got %d messages and then none: it knows, %v after the cut", p.through.beats, rounded(p.after()))
	} else {
		s.journal.remark(d.name, "its script has got %d messages, and does not know", p.through.beats)
	}
	if p.waits() {
		s.journal.remark(e.name, "its script has waited for %v and waits on: it has never got one", rounded(p.waited))
	}
}

// knows reports whether D's script knew of the cut. What it took for one before is not one.
func (p scripts) knows() bool { return p.through.knew.After(p.cut) }

// after returns how long after the cut D's script knew.
func (p scripts) after() time.Duration { return p.through.knew.Sub(p.cut) }

// waits reports whether E's script waits on a path that is dead.
func (p scripts) waits() bool { return p.isLost && p.straight.knew.IsZero() }

func (p scripts) promises(t times) []promise {
	return []promise{
		{
			"Through Holdfast, a page's script gets heartbeats",
			fmt.Sprintf("page-D's got %d before its path was cut", p.through.beats),
			p.through.beats >= 2,
		},
		{
			fmt.Sprintf("and knows within %v that its path is dead", t.bound),
			either(p.knows(), fmt.Sprintf("page-D's knew after %v", rounded(p.after())), "page-D's did not know"),
			p.knows() && p.after() <= t.bound+t.grace,
		},
		{
			"Without Holdfast, the same script waits on",
			either(p.waits(), fmt.Sprintf("page-E's had waited for %v", rounded(p.waited)), "page-E's was told"),
			p.waits(),
		},
	}
}
