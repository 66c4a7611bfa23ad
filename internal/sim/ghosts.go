package main

import (
	"net/netip"

	"holdfast/internal/sim/kernel"
	"holdfast/proxy"
)

// ghosts is a poller that now and then reports events of registrations that are gone.
// Linux does so if a descriptor has a duplicate.
type ghosts struct {
	*kernel.Poller
	w    *World
	now  map[uint32][]proxy.Token // by slot, of the present session
	gone []proxy.Token
}

var _ proxy.Kernel = (*ghosts)(nil)

func (g *ghosts) Add(fd int, t proxy.Token, want proxy.Ready) error {
	slot := uint32(t)
	if known := g.now[slot]; len(known) > 0 && generation(known[0]) != generation(t) {
		g.gone = append(g.gone, known...)
		g.now[slot] = known[:0]
	}
	g.now[slot] = append(g.now[slot], t)
	return g.Poller.Add(fd, t, want)
}

// Accept counts the clients that come in.
func (g *ghosts) Accept(fd int, shared bool) (proxy.Transport, netip.AddrPort, error) {
	t, from, err := g.Poller.Accept(fd, shared)
	if err == nil {
		g.w.isAccepted(from)
	}
	return t, from, err
}

// generation is how often the slot of a token was used before.
func generation(t proxy.Token) uint64 { return uint64(t) >> 33 }

func (g *ghosts) Poll() ([]proxy.Event, error) {
	events, err := g.Poller.Poll()
	if len(g.gone) > 0 && len(events) < g.Max() && g.w.chance(g.w.plan.Faults.Ghosts, "ghost") {
		ghost := proxy.Event{Token: g.gone[g.w.faults.IntN(len(g.gone))], Ready: proxy.Readable | proxy.Writable | proxy.PeerEnded | proxy.Broken}
		events = append(events, ghost)
	}
	return events, err
}
