package main

import (
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"holdfast/proxy"
)

// A story is where a world tells what happens in it.
type story struct {
	to    io.Writer // nil: nowhere
	calls bool      // the proxy's calls of the kernel are told, too
	hash  hash.Hash64
}

// tells adds a line to the story.
func (w *World) tells(format string, args ...any) {
	if w.story.hash != nil {
		_, _ = fmt.Fprintf(w.story.hash, format, args...) // a hash takes everything
	}
	if w.story.to != nil {
		_, _ = fmt.Fprintf(w.story.to, "%13.6f  %s\n", (w.now - epoch).Seconds(), fmt.Sprintf(format, args...))
	}
}

// told reports whether anybody listens.
func (w *World) told() bool { return w.story.to != nil || w.story.hash != nil }

// tells adds a line about the peer, which stands on its own side of the page.
func (p *peer) tells(format string, args ...any) {
	if !p.w.told() {
		return
	}
	margin := ""
	if p.side == service {
		margin = strings.Repeat(" ", 48)
	}
	p.w.tells("%s%v %d %s", margin, p.side, p.talk.number, fmt.Sprintf(format, args...))
}

// describes tells the plan that the story follows.
func (p *Plan) describes(to io.Writer) {
	_, _ = fmt.Fprintf(to, "seed %d\nknobs %+v\nfaults %+v\n", p.Seed, p.Knobs, p.Faults)
	p.describesPool(to)
	for i, c := range p.Sessions {
		_, _ = fmt.Fprintf(to, "session %d at %v, %v, closed by an operator after %v\n", i, c.At, c.Opening, c.Operator)
		for side, a := range []Actor{c.Client, c.Service} {
			_, _ = fmt.Fprintf(to, "  %v answers after %v %v, behind %d bytes, reads %d B/s, early %v, lazy %v, its application %v after %v more:\n", proxy.Side(side), a.Answers, a.Reply, a.Heap, a.Rate, a.Early, a.Lazy, a.App, a.AppAfter)
			var at time.Duration
			for _, do := range a.Does {
				at += do.After
				_, _ = fmt.Fprintf(to, "    %8.3f %v %d\n", at.Seconds(), do.Kind, do.Size)
			}
		}
	}
	if p.Stop > 0 {
		_, _ = fmt.Fprintf(to, "the proxy stops at %v, within %v\n", p.Stop, p.Spread)
	}
	if p.Drain != (Drain{}) {
		_, _ = fmt.Fprintf(to, "drain %+v\n", p.Drain)
	}
}

// controlName names a control frame in a story.
func controlName(op byte, payload []byte) string {
	switch {
	case op == opPing:
		return fmt.Sprintf("ping %q", payload)
	case op == opPong:
		return fmt.Sprintf("pong %q", payload)
	case len(payload) < 2:
		return "Close"
	default:
		return fmt.Sprintf("Close %d %q", int(payload[0])<<8|int(payload[1]), payload[2:])
	}
}
