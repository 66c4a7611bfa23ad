package backend

import (
	"crypto/tls"
	"sync/atomic"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// A Target is one address of a backend, and what is known about it. It may be used by any
// goroutine.
type Target struct {
	// Static.
	backend *Backend
	at      socket.Endpoint
	address string // for the log and the metrics
	hash    uint64 // of its names

	answersPings atomic.Bool  // it has answered a ping of ours
	answersApp   atomic.Bool  // its application has answered a ping of the application's
	load         atomic.Int64 // handshakes and requests for pages that are on their way to it, and sessions
	sessions     atomic.Int64
	pages        atomic.Int64 // those requests of load
	up           atomic.Bool  // a copy of state.up
	reached      atomic.Bool  // a dial or a check has come through once
	tried        atomic.Bool  // a check has come out
	drained      atomic.Bool  // an operator has taken it out of use
	gone         atomic.Bool  // the backend's name does not lead to it any more
	brokenOff    atomic.Int64 // handshakes in a row that it has taken and then broken off
	rising       atomic.Int64 // the heartbeat.Time at which it came back; 0: it has its whole share
	state        state

	turns [turnKinds]uint64 // for RoundRobin: the turns that it has had; guarded by Pool.turnsMu
}

// newTarget returns a target of b.
func newTarget(b *Backend, at socket.Endpoint) *Target {
	t := &Target{backend: b, at: at, address: at.Path}
	if at.Path == "" {
		t.address = at.AddrPort.String()
	}
	t.hash = hash(b.name + " " + t.address)
	t.drained.Store(b.isDrained(t.address))
	t.setUp(b.pool.cfg.Health.Interval < 0) // nobody else has it yet, so this needs no lock
	t.state.hasBeenUp = t.state.up
	t.state.reason = "it was not checked yet"
	return t
}

// Endpoint returns what to connect to.
func (t *Target) Endpoint() socket.Endpoint { return t.at }

// Address returns the target's address in the log and the metrics: host and port, or the
// path of a socket.
func (t *Target) Address() string { return t.address }

// Name returns the name of the target's backend in the log and the metrics.
func (t *Target) Name() string { return t.backend.name }

// String names the target in an error.
func (t *Target) String() string {
	if t.backend.named() {
		return t.backend.name + " (" + t.address + ")"
	}
	return t.backend.name
}

// Authority returns the host and port of the backend's URL, or "localhost" for a unix
// socket.
func (t *Target) Authority() string { return t.backend.authority() }

// Host returns the Host field of requests; empty means the client's.
func (t *Target) Host() string { return t.backend.upstream.Host }

// Prefix returns the path that is put before the path of every request.
func (t *Target) Prefix() string { return t.backend.prefix }

// WantsTLS reports whether connections to the target use TLS.
func (t *Target) WantsTLS() bool { return t.backend.tls != nil }

// TLS returns the configuration for the next connection. WantsTLS must be true.
func (t *Target) TLS() *tls.Config { return t.backend.tls() }

// Counts returns the counts of the target's backend.
func (t *Target) Counts() *metrics.UpstreamCounts { return t.backend.counts }

// Drained reports whether an operator has taken the target out of use.
func (t *Target) Drained() bool { return t.drained.Load() }

// Gone reports whether the name of the target's backend does not lead to it any more.
func (t *Target) Gone() bool { return t.gone.Load() }

// Up reports whether the target works, as far as is known.
func (t *Target) Up() bool { return t.up.Load() }

// takesRequests reports whether the target is up, and was not taken out of use.
func (t *Target) takesRequests() bool { return t.Up() && !t.drained.Load() }

// AnswersPings reports whether the target has ever answered a ping of ours.
func (t *Target) AnswersPings() bool { return t.answersPings.Load() }

// NoteAnswer records that the target has answered a ping of ours.
func (t *Target) NoteAnswer() {
	if !t.answersPings.Load() && t.answersPings.CompareAndSwap(false, true) {
		t.backend.pool.cfg.Log.Info("upstream answers pings: its keepalive deadline applies from now on",
			"upstream", t.backend.name, "address", t.address)
	}
}

// AnswersApp reports whether the application behind the target has ever answered a ping of
// the application's own.
func (t *Target) AnswersApp() bool { return t.answersApp.Load() }

// NoteAppAnswer records that it has.
func (t *Target) NoteAppAnswer() {
	if !t.answersApp.Load() && t.answersApp.CompareAndSwap(false, true) {
		t.backend.pool.cfg.Log.Info("upstream answers application heartbeats: their deadline applies from now on",
			"upstream", t.backend.name, "address", t.address)
	}
}

// NoteUnasked records that the target has answered with a subprotocol that the client did
// not ask for. The log says so once for each backend.
func (t *Target) NoteUnasked() { t.backend.noteUnasked() }

// take counts a handshake that goes to the target. It returns false, and counts nothing,
// if the target has gone.
func (t *Target) take() bool {
	t.load.Add(1)
	if t.gone.Load() {
		t.load.Add(-1)
		return false
	}
	return true
}

// Leave counts a handshake that does not go to the target any more, or a session that has
// ended.
func (t *Target) Leave() { t.load.Add(-1) }

// Sessions adds delta to the number of sessions that are open to the target.
func (t *Target) Sessions(delta int) { t.sessions.Add(int64(delta)) }

// Pages adds delta to the number of requests that are not upgrades and wait to be connected
// to the target.
func (t *Target) Pages(delta int) { t.pages.Add(int64(delta)) }

// handshakes returns how many handshakes are on their way to the target. The counters are
// read one after the other, so the number can be a little off while they change.
func (t *Target) handshakes() int {
	return max(0, int(t.load.Load()-t.sessions.Load()-t.pages.Load()))
}

// leastWeight is the weight of a target that has just come back.
const leastWeight = 0.1

// weight returns the target's share of what it would get otherwise: 1, or less while it
// has its slow start.
func (t *Target) weight(now heartbeat.Time) float64 {
	whole := t.backend.pool.cfg.SlowStart
	since := heartbeat.Time(t.rising.Load())
	if since == 0 || whole == 0 {
		return 1
	}
	part := float64(now.Sub(since)) / float64(whole)
	return min(1, leastWeight+(1-leastWeight)*max(0, part))
}

// rises begins the slow start of a target that has come back.
func (t *Target) rises() { t.rising.Store(int64(t.backend.pool.cfg.Clock())) }

// breaksUntilAvoided is how many handshakes in a row a target breaks off until it is avoided.
const breaksUntilAvoided = 3

// BreaksOff records that the target took the connection of a handshake, and ended it before
// the first byte of an answer. Such a target connects, so it is up by a check without a Path.
func (t *Target) BreaksOff() { t.brokenOff.Add(1) }

// Answers records that the target has begun to answer a handshake.
func (t *Target) Answers() {
	if t.brokenOff.Load() > 0 && t.brokenOff.Swap(0) >= breaksUntilAvoided {
		t.rises()
	}
}

// Avoided reports whether the rule LeastSessions avoids the target. A target that breaks off
// every handshake never has a session, so this rule would prefer it to those that work.
func (t *Target) Avoided() bool { return t.brokenOff.Load() >= breaksUntilAvoided }

// appeal returns the target's weight for the rule LeastSessions. A target that is avoided
// gets a tenth until it answers.
func (t *Target) appeal(now heartbeat.Time) float64 {
	if t.Avoided() {
		return leastWeight * t.weight(now)
	}
	return t.weight(now)
}

// A Status is what is known about a target, or about a backend whose name leads to no
// address: then Address is empty.
type Status struct {
	Upstream, Address  string
	Up, Draining, Gone bool
	Reason             string // why it is down, or has no address
	Load               int    // handshakes and requests for pages that are on their way to it, and sessions
	Sessions           int
	Handshakes         int // that are on their way to it
}

func (t *Target) status() Status {
	s := Status{
		Upstream: t.backend.name,
		Address:  t.address,
		Draining: t.drained.Load(),
		Gone:     t.gone.Load(),
		Load:     int(t.load.Load()),
		Sessions: int(t.sessions.Load()),

		Handshakes: t.handshakes(),
	}
	s.Up, s.Reason = t.state.now()
	return s
}
