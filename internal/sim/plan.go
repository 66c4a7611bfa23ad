package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A Plan is all that a run is made of but for the network's and the kernel's chances,
// which come from Seed. It is data, so that a failing one can be made smaller.
type Plan struct {
	Seed      uint64
	Knobs     Knobs
	Faults    Faults
	Sessions  []Conversation
	Upstreams []Upstream // none: one, with one address
	Troubles  []Trouble
	Stop      time.Duration // when the proxy begins to stop; 0: when all is over
	Spread    time.Duration // HOLDFAST_DRAIN_SPREAD
	Drain     Drain
}

// Knobs are the proxy's configuration.
type Knobs struct {
	Loops            int
	Interval         time.Duration // 0: no pings
	Timeout          time.Duration // 0: pings without a deadline
	PongOnly         bool          // HOLDFAST_LIVENESS=pong
	UpstreamPong     string        // "auto", "require" or "ignore"
	Forward          bool          // HOLDFAST_PEER_PINGS=forward
	Write, Close     time.Duration
	Idle, Oldest     time.Duration
	HandshakeTimeout time.Duration
	MaxFrame         int64
	MaxMessage       int64
	PerIP            int
	Preface          bool // HOLDFAST_PROXY_PROTOCOL=accept, and each client has a header
	ClientTLS        bool
	ServiceTLS       bool
	Places           int   // in each queue
	Buffer           int   // of the kernel, for what was written at an end
	Inbox            int   // and for what has arrived there
	Pages            bool  // requests that are not upgrades are answered
	Clients          int64 // how many the proxy has room for; 0: enough
	Sessions         int   // HOLDFAST_MAX_SESSIONS; 0: no limit
	Lobby            int64 // how many clients may be waited for when they are refused; 0: enough
	Balance          string
	SlowStart        time.Duration
	Checks           time.Duration // HOLDFAST_HEALTH_INTERVAL
	Batch            int           // events that the poller returns at once; 0: as many as Linux does
	ClientApp        AppKnobs
	ServiceApp       AppKnobs
	PaceFrames       float64 // of each client in a second; 0: any number
	PaceBytes        float64
}

// Faults are what the kernel, the network and the machine may do in this run: each is the
// share of chances at which it happens.
type Faults struct {
	Again   float64       // a call finds nothing although there is something
	Short   float64       // a read or a write moves less than it could
	Ghosts  float64       // an event comes for a registration that is gone
	Poller  float64       // a change of what is waited for fails
	Accept  float64       // an accept fails
	Connect float64       // a connect fails or is not answered
	TLS     float64       // a TLS handshake fails
	Lookup  float64       // a lookup fails, or finds nothing
	Probe   float64       // a check of a target is lost
	Stalls  float64       // a segment is late by seconds
	Stopped float64       // the process is stopped for a while
	Slow    time.Duration // latency at the most
	Panic   float64       // a call of a loop panics
}

// A Conversation is one client, how its handshake goes, and the service's end of it.
type Conversation struct {
	At      time.Duration
	Opening Opening
	Client  Actor
	Service Actor

	Operator time.Duration // how long after its beginning an operator closes the session; 0: never
}

// An Opening is how a handshake goes wrong, if it does.
type Opening uint8

const (
	Opens          Opening = iota // it does not
	SaysNothing                   // the client connects and is silent
	Drips                         // the client's request never ends
	AsksWrong                     // the client's request is not well formed
	AsksPage                      // the client's request is not an upgrade
	LeavesEarly                   // the client goes away while it waits
	ServiceSilent                 // the service never answers
	ServiceWrong                  // the service's 101 is not for this request
	ServiceBabble                 // the service answers with something that is not HTTP
	ServiceRefuses                // the service answers with an error that is passed on
	ServiceLeaves                 // the service ends TCP in place of an answer
	ServiceResets
	openings
)

// An Actor is one peer of a session: how well it keeps to the rules, and what it does.
type Actor struct {
	Answers time.Duration // how long after a ping or a Close it answers
	Reply   Reply         // how it answers a ping of the proxy's
	Heap    int           // bytes of small frames that it sends before each such answer
	Rate    int           // bytes that it reads a second; 0: all that there is
	Early   bool          // it sends its first message before the handshake is over
	Lazy    bool          // it does not end TCP when the proxy has

	App      AppReply      // how its application answers a ping of the proxy's
	AppAfter time.Duration // and how much later than its library would

	Does []Action
}

// A Reply is how a peer shows that it lives when the proxy pings it.
type Reply uint8

const (
	Echoes Reply = iota
	Bare         // a pong without a payload
	Talks        // a message, and no pong
	Mute         // nothing
	replies
)

// An Action is one thing that a peer does, some time after the one before.
type Action struct {
	After time.Duration
	Kind  Kind
	Size  int
}

// A Kind is what a peer does.
type Kind uint8

const (
	Says     Kind = iota // a message of Size bytes
	SaysMore             // a message of several frames
	Drags                // the same, over many seconds
	Begins               // a frame's beginning; the rest comes with the next action
	Pings                // a ping of its own
	Pongs                // a pong that nobody has asked for
	Crowds               // many pings at once
	Floods               // megabytes, with nothing read meanwhile
	Closes               // an orderly end

	// From here on it breaks a rule, or dies.
	Violates
	Raves  // its Close, and then megabytes
	Slams  // its Close, and a reset as soon as that has arrived
	Stops  // it neither reads nor answers for Size milliseconds
	Breaks // it begins a frame, and freezes
	Freeze // it never reads nor answers any more, but its TCP does
	Vanish // its host is gone: nothing arrives any more, either way
	Halves // it ends its direction of TCP
	Leaves // it closes TCP
	Resets

	// From here on it does what applications do.
	Asks       // a message that is about a rule, or nearly so; Size says which
	Spells     // the same in parts, with a while and control frames between them
	Hints      // the same, and the last part never comes
	Volunteers // an answer to a ping of the application that may not have come
	Dulls      // its program hangs, and its library lives
	kinds
)

// planFor draws a plan. Each concern has a stream of its own, so that one can be changed
// without the others.
func planFor(seed uint64) *Plan {
	p := &Plan{Seed: seed, Knobs: knobsFor(stream(seed, 1)), Faults: faultsFor(stream(seed, 2))}
	rnd := stream(seed, 3)
	for range 1 + rnd.IntN(4) {
		p.Sessions = append(p.Sessions, p.conversation(rnd))
	}
	p.gathers(stream(seed, 4))
	p.spreads(stream(seed, 6))
	rests := p.rests(stream(seed, 26))
	mute := rnd.IntN(2) == 0
	if mute && p.Knobs.UpstreamPong != "require" && !p.Knobs.Forward { // the pong to a ping that is passed on is one, too
		for i := range p.Sessions {
			p.Sessions[i].Service.isMute() // all of them: one that answers speaks for the others
		}
	}
	if rnd.IntN(3) == 0 {
		p.Stop = spread(rnd, 2*time.Minute)
		if rnd.IntN(2) == 0 { // in the middle of a handshake
			p.Stop = p.Sessions[0].At + spread(rnd, 8*p.Faults.Slow+time.Millisecond)
		}
	}
	p.Spread = oneOf(stream(seed, 5), 0, time.Second, time.Minute)
	p.narrows(stream(seed, 7))
	p.drawsDrain(stream(seed, 25), rests)
	p.drawsOperators()
	p.drawsApps(stream(seed, 21))
	p.drawsPace(stream(seed, 24))
	p.Knobs.MaxMessage = seldom(stream(seed, 22), 6, oneOf(stream(seed, 23), int64(600), 8192))
	return p
}

// narrows draws limits that few clients reach, and clients that are in no hurry to go.
func (p *Plan) narrows(rnd *rand.Rand) {
	p.Knobs.Sessions = seldom(rnd, 5, 1+rnd.IntN(3))
	p.Knobs.Lobby = seldom(rnd, 4, int64(1))
	if rnd.IntN(3) == 0 {
		for i := range p.Sessions {
			p.Sessions[i].Client.Lazy = rnd.IntN(2) == 0
		}
	}
	if rnd.IntN(10) == 0 { // one after the other has the only session, and none ends its TCP
		p.Knobs.Sessions = 1
		for i := range p.Sessions {
			c := &p.Sessions[i]
			c.At = p.Sessions[0].At + time.Duration(i)*spread(rnd, 2*time.Second)
			c.Client.Lazy = true
			c.Client.Does = []Action{{After: spread(rnd, time.Second), Kind: Closes}}
		}
	}
}

// isMute makes an actor answer no ping. It sends no pong of its own either, which would
// count as an answer.
func (a *Actor) isMute() {
	a.Reply = Mute
	a.Does = slices.DeleteFunc(a.Does, func(do Action) bool { return do.Kind == Pongs })
}

// gathers draws what concerns both peers of a conversation, or all conversations.
func (p *Plan) gathers(rnd *rand.Rand) {
	if rnd.IntN(5) == 0 { // a storm: all of them come at once, and more of them
		for range rnd.IntN(5) {
			p.Sessions = append(p.Sessions, p.conversation(rnd))
		}
		for i := range p.Sessions {
			p.Sessions[i].At = p.Sessions[0].At + spread(rnd, 20*time.Millisecond)
		}
	}
	for i := range p.Sessions {
		if c := &p.Sessions[i]; rnd.IntN(20) == 0 { // both peers freeze in the middle of a frame
			for _, a := range c.actors() {
				a.Does = append(a.Does, Action{After: spread(rnd, 5*time.Second), Kind: Breaks, Size: 1 + rnd.IntN(200)})
			}
		}
		if c := &p.Sessions[i]; rnd.IntN(15) == 0 { // one of two plain peers resets right behind its Close
			a := c.actors()[rnd.IntN(2)]
			a.Does = []Action{{After: spread(rnd, 5*time.Second), Kind: Slams}}
			for _, a := range c.actors() {
				a.Rate, a.Heap = 0, 0
			}
		}
	}
}

func stream(seed, concern uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, concern)) }

func spread(rnd *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(most)))
}

// oneOf draws one of several values.
func oneOf[T any](rnd *rand.Rand, values ...T) T { return values[rnd.IntN(len(values))] }

// seldom is a value once in n times, else the zero value.
func seldom[T any](rnd *rand.Rand, n int, value T) (v T) {
	if rnd.IntN(n) == 0 {
		return value
	}
	return v
}

func knobsFor(rnd *rand.Rand) Knobs {
	return Knobs{
		Loops:            1 + rnd.IntN(3),
		Interval:         oneOf(rnd, 0, 2*time.Second, 5*time.Second, 20*time.Second, 20*time.Second),
		Timeout:          oneOf(rnd, 0, 3*time.Second, 10*time.Second, 20*time.Second, 20*time.Second),
		PongOnly:         rnd.IntN(3) == 0,
		UpstreamPong:     oneOf(rnd, "auto", "require", "require", "ignore"),
		Forward:          rnd.IntN(4) == 0,
		Write:            oneOf(rnd, 5*time.Second, 30*time.Second),
		Close:            oneOf(rnd, 2*time.Second, 10*time.Second),
		Idle:             seldom(rnd, 6, 45*time.Second),
		Oldest:           seldom(rnd, 6, 70*time.Second),
		HandshakeTimeout: oneOf(rnd, 3*time.Second, 10*time.Second),
		MaxFrame:         seldom(rnd, 5, int64(4096)),
		PerIP:            seldom(rnd, 8, 1),
		Preface:          rnd.IntN(6) == 0,
		ClientTLS:        rnd.IntN(4) == 0,
		ServiceTLS:       rnd.IntN(5) == 0,
		Places:           oneOf(rnd, 100, 1),
		Buffer:           oneOf(rnd, 8<<10, 16<<10, 64<<10),
		Inbox:            oneOf(rnd, 8<<10, 16<<10, 64<<10, 200<<10),
		Pages:            rnd.IntN(2) == 0,
		Clients:          seldom(rnd, 6, int64(3)),
		Batch:            seldom(rnd, 4, 1+rnd.IntN(3)),
	}
}

// faultsFor is a swarm's profile: each kind of fault is there in some runs only, since
// those that happen all the time hide what comes after them.
func faultsFor(rnd *rand.Rand) Faults {
	return Faults{
		Again:   seldom(rnd, 2, 0.1),
		Short:   seldom(rnd, 2, 0.3),
		Ghosts:  seldom(rnd, 3, 0.05),
		Poller:  seldom(rnd, 10, oneOf(rnd, 0.01, 0.1)),
		Accept:  seldom(rnd, 6, 0.2),
		Connect: seldom(rnd, 4, 0.2),
		TLS:     seldom(rnd, 3, 0.2),
		Lookup:  seldom(rnd, 3, 0.3),
		Stalls:  seldom(rnd, 4, 0.02),
		Stopped: seldom(rnd, 4, oneOf(rnd, 0.002, 0.02)),
		Slow:    oneOf(rnd, time.Microsecond, time.Millisecond, 50*time.Millisecond, 300*time.Millisecond),
		Panic:   seldom(rnd, 12, oneOf(rnd, 0.0003, 0.003)),
	}
}

func (p *Plan) conversation(rnd *rand.Rand) Conversation {
	c := Conversation{
		At:      spread(rnd, oneOf(rnd, 20*time.Second, 20*time.Second, 2*time.Minute)),
		Client:  p.actor(rnd),
		Service: p.actor(rnd),
	}
	if rnd.IntN(4) == 0 {
		c.Opening = 1 + Opening(rnd.IntN(int(openings-1)))
	}
	return c
}

func (p *Plan) actor(rnd *rand.Rand) Actor {
	a := Actor{
		Answers: oneOf(rnd, 0, time.Millisecond, 500*time.Millisecond),
		Rate:    seldom(rnd, 4, max(p.slowest(), oneOf(rnd, 100_000, 0))),
		Early:   rnd.IntN(6) == 0,
	}
	if rnd.IntN(6) == 0 {
		a.Heap = p.heap(rnd)
	}
	if !p.Knobs.PongOnly {
		a.Reply = seldom(rnd, 3, oneOf(rnd, Bare, Talks))
	}
	// Of two actors one breaks no rule, as a rule: a healthy peer must not pay for others.
	wild := rnd.IntN(3) == 0
	for range rnd.IntN(12) {
		a.Does = append(a.Does, action(rnd, wild))
	}
	return a
}

// heap draws the size of an actor's heaps.
func (p *Plan) heap(rnd *rand.Rand) int {
	most := 3 * p.Knobs.Inbox
	if p.Faults.Stopped > 0 {
		most = p.Knobs.Inbox / 2 // all of it has arrived when the process goes on
	}
	if k := &p.Knobs; k.PongOnly && k.Timeout > 0 { // the pong behind it comes in time
		most = min(most, int(p.passesIn(k.Timeout/4)))
	}
	return 1024 + rnd.IntN(oneOf(rnd, 4096, most))
}

// passesIn is how many bytes pass a connection in some time at least: a window of them in
// each round trip.
func (p *Plan) passesIn(d time.Duration) int64 {
	window := int64(min(p.Knobs.Buffer, p.Knobs.Inbox))
	return max(window, window*int64(d/(2*p.Faults.Slow)))
}

// slowest is how many bytes a second a healthy peer reads at least: what has reached its
// TCP reaches its program soon.
func (p *Plan) slowest() int { return max(10_000, 2*p.Knobs.Inbox) }

func action(rnd *rand.Rand, wild bool) Action {
	kind := Kind(rnd.IntN(int(Closes)))
	if rnd.IntN(15) == 0 {
		kind = Closes
	}
	if wild && rnd.IntN(5) == 0 {
		kind = Violates + Kind(rnd.IntN(int(Asks-Violates)))
	}
	a := Action{
		After: spread(rnd, oneOf(rnd, time.Millisecond, time.Second, 30*time.Second)),
		Kind:  kind,
		Size:  oneOf(rnd, rnd.IntN(126), rnd.IntN(126), rnd.IntN(9000), 65_000+rnd.IntN(2000)),
	}
	switch kind {
	case Drags:
		a.Size = 10 + rnd.IntN(2000)
	case Floods:
		a.Size = 50_000 + rnd.IntN(oneOf(rnd, 300_000, 300_000, 300_000, 300_000, 2_000_000))
	case Stops:
		a.Size = rnd.IntN(60_000)
	case Violates:
		a.Size = rnd.IntN(len(violations))
	default: // the size is that of a message
	}
	return a
}
