package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// outcome is what happened in a story.
type outcome struct {
	// Client A, straight to the service.
	cutOff bool // the middlebox has cut its connection, and A does not know
	echoA  bool // its message came back
	ghost  bool // the service still believes that it is connected

	// Client B, through Holdfast.
	echoB      bool
	roundTrips int           // of pings, measured while it was silent
	roundTrip  time.Duration // the mean round trip

	// Client C, through Holdfast, frozen.
	dropped      bool
	droppedAfter time.Duration
	toService    farewell
	toClient     farewell // what it reads when it wakes
	counted      int      // sessions in droppedFrozen

	scripts scripts // of pages D and E
}

// story plays the clients' parts. It returns an error if it could not reach its
// end. The outcome says whether it ended as promised.
func (s *stage) story(ctx context.Context) (o outcome, err error) {
	s.introduce()
	a, err := s.enter(ctx, "client-A", s.straight, "connected straight to the service")
	if err != nil {
		return o, err
	}
	defer s.hangUp(a)
	b, err := s.enter(ctx, "client-B", s.through, "connected through Holdfast")
	if err != nil {
		return o, err
	}
	defer s.hangUp(b)

	s.journal.remark("both", "stay silent for %v", s.times.silence)
	if err := pause(ctx, s.times.silence); err != nil {
		return o, err
	}
	if err := s.measure(&o); err != nil {
		return o, err
	}
	if o.echoB, err = s.speak(ctx, b, s.times.patience); err != nil {
		return o, err
	}
	if o.echoA, err = s.speak(ctx, a, s.times.hope); err != nil {
		return o, err
	}
	o.cutOff = s.isLost(a.name) && !a.hasEnded()
	o.ghost = s.giveUp(a)

	c, err := s.freeze(ctx, "client-C")
	o.dropped, o.droppedAfter, o.toService, o.toClient = c.dropped, c.after, c.toService, c.toClient
	if err != nil {
		return o, err
	}
	if o.counted, err = s.countFrozen(); err != nil {
		return o, err
	}
	if o.scripts, err = s.playScripts(ctx); err != nil {
		return o, err
	}
	return o, s.sayGoodbye(ctx, b)
}

func (s *stage) introduce() {
	s.journal.remark(theService, "echoes messages, and never pings")
	s.journal.remark(theMiddlebox, "forgets connections that are silent for %v", s.times.limit)
	s.journal.remark(theHoldfast, "pings every %v, waits %v for the answer", s.times.interval, s.times.timeout)
	s.journal.remark(theHoldfast, "sends its clients a message as often, since a page's script sees no pings: %s", beatText)
}

// enter connects a client that is awake.
func (s *stage) enter(ctx context.Context, name, address, how string) (*client, error) {
	c, err := s.dial(ctx, name, address)
	if err != nil {
		return nil, err
	}
	s.wake(c)
	s.journal.remark(name, "%s, by way of the middlebox", how)
	return c, nil
}

// measure reads how many round trips Holdfast has measured, and their mean. They are all
// client B's, since B is Holdfast's only client so far.
func (s *stage) measure(o *outcome) error {
	c, err := readCounters(s.metrics)
	if err != nil {
		return err
	}
	o.roundTrips = int(c.Pongs)
	o.roundTrip = time.Duration(c.RoundTrip * float64(time.Second))
	s.journal.remark(theHoldfast, "has measured %d round trips to its client, %v on average", o.roundTrips, rounded(o.roundTrip))
	return nil
}

// speak sends a message and waits up to hope for its echo. It returns false, and not an
// error, if no echo comes.
func (s *stage) speak(ctx context.Context, c *client, hope time.Duration) (echoed bool, err error) {
	text := "Is " + c.name + " still there?"
	sent := time.Now()
	if err := c.send(text); err != nil {
		s.journal.remark(c.name, "cannot send any more")
		return false, nil
	}
	s.journal.remark(c.name, "sends a message")
	wait, cancel := context.WithTimeout(ctx, hope)
	defer cancel()
	heard, _ := c.hear(wait)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if heard != text {
		s.journal.remark(c.name, "no echo after %v", rounded(time.Since(sent)))
		return false, nil
	}
	s.journal.remark(c.name, "hears its echo after %v", rounded(time.Since(sent)))
	return true, nil
}

// giveUp closes a client's connection. It reports whether the service keeps a ghost of the
// client.
func (s *stage) giveUp(c *client) (ghost bool) {
	s.hangUp(c)
	s.journal.remark(c.name, "gives up and leaves")
	v := s.service.find(c.name)
	if v == nil || !s.isLost(c.name) {
		return false
	}
	s.journal.remark(theService, "still holds %s, silent for %v: a ghost", c.name, rounded(v.silent()))
	return true
}

// frozen is what happened to a client that froze.
type frozen struct {
	dropped   bool
	after     time.Duration // from freezing to the service's event ended
	toService farewell
	toClient  farewell // what it reads when it wakes
}

// freeze connects a client through Holdfast that reads nothing and answers nothing. It
// waits until Holdfast has dropped the client, and then wakes the client.
func (s *stage) freeze(ctx context.Context, name string) (f frozen, err error) {
	c, err := s.dial(ctx, name, s.through)
	if err != nil {
		return f, err
	}
	defer s.hangUp(c)
	start := s.journal.now()
	s.journal.remark(name, "connected through Holdfast, and froze: it answers nothing")

	left, err := s.await(ctx, ended, name)
	if err != nil {
		return f, notHeard(ctx, err)
	}
	f.toService = farewell{left.code, left.reason}
	f.after = left.since(start)
	end, err := s.await(ctx, settled, name)
	if err != nil {
		return f, notHeard(ctx, err)
	}
	f.dropped = end.reason != "close"

	s.wake(c)
	wait, cancel := context.WithTimeout(ctx, s.times.patience)
	defer cancel()
	if f.toClient, err = c.farewell(wait); err != nil {
		return f, notHeard(ctx, err)
	}
	s.journal.remark(name, "awake again, reads: %s", f.toClient)
	return f, nil
}

// notHeard returns nil for an event that did not come in time: the outcome shows that. It
// returns err if the demo itself has ended.
func notHeard(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return nil
}

func (s *stage) countFrozen() (int, error) {
	c, err := readCounters(s.metrics)
	return int(c.PingTimeouts), err
}

// sayGoodbye ends a session by a close handshake, so that the counters show one.
func (s *stage) sayGoodbye(ctx context.Context, c *client) error {
	if err := c.leave(); err != nil {
		return nil // it was dropped before, which another promise reports
	}
	_, err := s.await(ctx, settled, c.name)
	return notHeard(ctx, err)
}

// pause is for silences that are part of the story.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// rounded keeps two or three digits.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}

// promise is one line of the summary.
type promise struct {
	promised, happened string
	kept               bool
}

// promises compares an outcome with what the demo promises.
func promises(t times, o outcome) []promise {
	told := farewell{ws.StatusGoingAway, "client keepalive ping timeout"}
	woken := farewell{ws.StatusInternalServerError, "keepalive ping timeout"}
	within := t.interval + t.timeout
	return append([]promise{
		{
			"Without Holdfast, a silent connection dies and nobody is told",
			either(o.cutOff && !o.echoA, "client-A's message was never echoed", "client-A's connection lives"),
			o.cutOff && !o.echoA,
		},
		{
			"and the service keeps a ghost",
			either(o.ghost, "it still holds client-A", "it does not hold client-A"),
			o.ghost,
		},
		{
			"Through Holdfast, pings keep the same path alive",
			either(o.echoB, fmt.Sprintf("client-B's message was echoed after %v of silence", t.silence), "client-B's message was not echoed"),
			o.echoB,
		},
		{
			"and measure it",
			fmt.Sprintf("%d round trips, %v on average", o.roundTrips, rounded(o.roundTrip)),
			o.roundTrips > 0 && o.roundTrip > 0,
		},
		{
			fmt.Sprintf("A frozen client is dropped within %v", within),
			either(o.dropped, fmt.Sprintf("client-C was dropped after %v", rounded(o.droppedAfter)), "client-C was not dropped"),
			o.dropped && o.droppedAfter <= within+t.grace,
		},
		{"the service is told why", o.toService.String(), o.toService == told},
		{"and so is the client, once it wakes", o.toClient.String(), o.toClient == woken},
		{"and it is counted", fmt.Sprintf("%s %d", droppedFrozen, o.counted), o.counted == 1},
	}, o.scripts.promises(t)...)
}

func either(yes bool, ifYes, ifNo string) string {
	if yes {
		return ifYes
	}
	return ifNo
}

func allKept(all []promise) bool {
	return !slices.ContainsFunc(all, func(p promise) bool { return !p.kept })
}

// summary lists what was promised, and below each what happened.
func summary(all []promise) string {
	var text strings.Builder
	text.WriteString("\n")
	for _, p := range all {
		fmt.Fprintf(&text, "  %-6s  %s\n          %s\n", either(p.kept, "kept", "BROKEN"), p.promised, p.happened)
	}
	text.WriteString("\n")
	return text.String()
}

// verdict is the result in one line.
func verdict(all []promise) string {
	broken := 0
	for _, p := range all {
		if !p.kept {
			broken++
		}
	}
	if broken > 0 {
		return fmt.Sprintf("holdfast demo: %d of %d promises broken\n", broken, len(all))
	}
	return fmt.Sprintf("holdfast demo: all %d promises kept\n", len(all))
}
