package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// An Upstream is a name or an address of the service.
type Upstream struct {
	Name      bool // its addresses must be looked up
	Addresses int  // how many it has; one if it has no name
	TLS       bool
}

// A Trouble is what happens for a while to one address of an upstream, or to all addresses.
type Trouble struct {
	At       time.Duration
	For      time.Duration // 0: until the end
	Kind     Ill
	Upstream int // everybody: all addresses of all upstreams
	Address  int
}

// everybody is the Upstream of a Trouble that all have.
const everybody = -1

// An Ill is a kind of Trouble.
type Ill uint8

const (
	Refuses  Ill = iota // it refuses connections, and its sessions go on
	Crashes             // it refuses connections, and its sessions are reset
	Swallows            // it answers no connect, and its sessions go on
	Hangs               // its program stops: the kernel connects, and nobody answers
	Moves               // its name does not lead to it
	Retires             // an operator drains it
	ills
)

// upstreams returns the upstreams, which are one address if the plan names none.
func (p *Plan) upstreams() []Upstream {
	if len(p.Upstreams) == 0 {
		return []Upstream{{Addresses: 1, TLS: p.Knobs.ServiceTLS}}
	}
	return p.Upstreams
}

// isPool reports whether the plan has upstreams of its own, which are also checked.
func (p *Plan) isPool() bool { return len(p.Upstreams) > 0 }

// spreads draws upstreams, and what happens to them.
func (p *Plan) spreads(rnd *rand.Rand) {
	if rnd.IntN(5) >= 2 {
		return
	}
	k := &p.Knobs
	k.Balance = balances[rnd.IntN(len(balances))].name
	k.SlowStart = oneOf(rnd, 0, 30*time.Second)
	k.Checks = oneOf(rnd, -1, 0, 10*time.Second, 30*time.Second)
	p.Faults.Probe = seldom(rnd, 3, 0.2)
	mixed := rnd.IntN(4) == 0
	for range 1 + rnd.IntN(3) {
		u := Upstream{Name: rnd.IntN(2) == 0, Addresses: 1, TLS: k.ServiceTLS}
		if u.Name {
			u.Addresses = 1 + rnd.IntN(3)
		}
		if mixed {
			u.TLS = rnd.IntN(2) == 0
		}
		p.Upstreams = append(p.Upstreams, u)
	}
	within := oneOf(rnd, time.Second, 20*time.Second, 100*time.Second)
	for range rnd.IntN(7) {
		p.Troubles = append(p.Troubles, p.trouble(rnd, within))
	}
	if rnd.IntN(6) == 0 {
		p.Troubles = append(p.Troubles, Trouble{
			At: spread(rnd, within), For: time.Second + spread(rnd, time.Minute), Kind: Ill(rnd.IntN(int(ills))), Upstream: everybody,
		})
	}
	switch rnd.IntN(8) {
	case 0:
		p.crowds(rnd)
	case 1:
		p.waits()
	}
}

// waits lets a client wait for a lookup, and leave when the answer comes.
func (p *Plan) waits() {
	p.Knobs.Checks, p.Faults.Slow = 0, time.Microsecond
	for i := range p.Upstreams {
		p.Upstreams[i].Name = true
	}
	for i := range p.Sessions {
		p.Sessions[i].Opening = LeavesEarly
	}
}

// crowds lets clients come together at the moment at which an address that was up answers
// no connect any more, so that they wait for their turn there.
func (p *Plan) crowds(rnd *rand.Rand) {
	const at = 30 * time.Second
	k := &p.Knobs
	k.Places, k.HandshakeTimeout = 1, 10*time.Second
	k.Loops, k.Checks = 2+rnd.IntN(2), oneOf(rnd, -1, k.Checks) // several loops fail at a time
	for len(p.Sessions) < 7 {
		p.Sessions = append(p.Sessions, p.conversation(rnd))
	}
	for i := range p.Sessions {
		c := &p.Sessions[i]
		c.At = at + spread(rnd, 20*time.Millisecond)
		for _, a := range c.actors() { // the handshakes are what matters
			a.Does = a.Does[:min(2, len(a.Does))]
		}
	}
	silent := p.trouble(rnd, at)
	silent.At, silent.Kind = at, oneOf(rnd, Swallows, Swallows, Retires)
	p.Troubles = append(p.Troubles, silent)
}

// trouble draws what happens to one address.
func (p *Plan) trouble(rnd *rand.Rand, within time.Duration) Trouble {
	at := rnd.IntN(len(p.Upstreams))
	t := Trouble{
		At:       spread(rnd, within),
		For:      time.Second + spread(rnd, oneOf(rnd, 10*time.Second, time.Minute)),
		Kind:     Ill(rnd.IntN(int(ills))),
		Upstream: at,
		Address:  rnd.IntN(p.Upstreams[at].Addresses),
	}
	if t.Kind != Hangs && rnd.IntN(4) == 0 {
		t.For = 0
	}
	return t
}

// hangs reports whether a program of the service's stops for a while.
func (p *Plan) hangs() bool {
	for _, t := range p.Troubles {
		if t.Kind == Hangs {
			return true
		}
	}
	return false
}

// describesPool tells the upstreams and what happens to them.
func (p *Plan) describesPool(to io.Writer) {
	for i, u := range p.Upstreams {
		_, _ = fmt.Fprintf(to, "upstream %d %+v\n", i, u)
	}
	for _, t := range p.Troubles {
		_, _ = fmt.Fprintf(to, "at %v for %v: upstream %d, address %d: %v\n", t.At, t.For, t.Upstream, t.Address, t.Kind)
	}
}
