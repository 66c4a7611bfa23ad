// Package demo shows what Holdfast is for, without any configuration. It has a legacy
// service that never pings, and a middlebox that drops idle connections. Some clients
// reach the service through the middlebox only, others through the middlebox and Holdfast.
//
// The path through it: Run (demo.go) builds a stage (stage.go) with the service
// (service.go), the middlebox (middlebox.go) and Holdfast itself (holdfast.go). The story
// (story.go, scripts.go) plays the clients (clients.go), waits for events in the journal
// (journal.go), and compares the outcome with what the demo promises. Afterwards the live
// page (page.go) lets a browser take part, and Holdfast's own status page (status.go) shows
// what it makes of that.
//
// Everything runs in this process and listens on loopback only.
package demo

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"
)

// shown are the times of the demo that users see: long enough to follow, and short
// enough to wait for.
var shown = times{
	limit:    3 * time.Second,
	interval: time.Second,
	timeout:  time.Second,
	bound:    2 * time.Second,
	silence:  5 * time.Second,
	hope:     1500 * time.Millisecond,
	patience: 5 * time.Second,
	grace:    500 * time.Millisecond,
}

// Run runs the demo until a signal. If once is true, it also ends after the story. It
// returns false if the demo could not run, or, with once, if a promise was broken.
func Run(once bool, stdout, stderr io.Writer) bool {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	play := playLive
	if once {
		play = playOnce
	}
	kept, err := play(ctx, shown, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "holdfast demo: %v\n", err)
	}
	return kept
}

// playOnce plays the story once. It reports whether all promises were kept.
func playOnce(ctx context.Context, t times, out io.Writer) (kept bool, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := newStage(t, out, fail)
	if err != nil {
		return false, err
	}
	o, err := s.story(ctx)
	s.close()
	if err != nil {
		return false, fmt.Errorf("the demo did not reach its end: %w", err)
	}
	all := promises(t, o)
	fmt.Fprint(out, summary(all), verdict(all))
	return allKept(all), nil
}

// playLive plays the story. Then it serves the live page until ctx ends, and returns true.
func playLive(ctx context.Context, t times, out io.Writer) (kept bool, err error) {
	interrupted := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := newStage(t, out, fail)
	if err != nil {
		return false, err
	}
	defer s.close()
	defer fail(nil) // the status page ends before the stage waits for it
	if err := s.serveStatus(ctx, preferredStatus); err != nil {
		return false, err
	}
	p, err := startPage(ctx, s, preferredPage)
	if err != nil {
		return false, err
	}
	defer p.close()
	s.journal.print(fmt.Sprintf("\n  Watch it in a browser: %s\n  Holdfast's status page: %s\n\n", p.url(), s.statusPage))

	o, err := s.story(ctx)
	if err == nil {
		all := promises(t, o)
		s.journal.print(summary(all) + fmt.Sprintf("  Now it is your turn: %s\n  Ctrl-C ends the demo.\n\n", p.url()))
		p.open(true)
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	if interrupted.Err() != nil {
		return true, nil
	}
	return false, err
}
