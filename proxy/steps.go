package proxy

import (
	"log/slog"
	"os"

	"holdfast/metrics"
)

// openingState is the state of a handshake. From any state but the last two, abandon may
// also end the handshake.
type openingState uint8

const (
	awaitPreface     openingState = iota // awaits the PROXY protocol header; → awaitHello, awaitRequest, the states that follow those, refusing
	awaitHello                           // awaits the first TLS record; → greeting, securing
	greeting                             // waits for a place in tlsQueue; → securing
	securing                             // the client's TLS handshake is under way beside the loop; → awaitRequest
	awaitRequest                         // awaits the request head; → resolving, queued, dialing, refusing, or the connection leaves the loop (pages.go)
	resolving                            // waits for the address of a target; → queued, dialing, refusing
	queued                               // waits for a place in the queue of a target; → dialing, refusing
	dialing                              // waits for a connection; → securingUpstream, sendRequest, refusing; or, for another target, resolving, queued
	securingUpstream                     // the upstream's TLS handshake is under way beside the loop; → sendRequest, refusing; or, for another target, resolving, queued, dialing
	sendRequest                          // writes the request; → awaitAnswer, refusing
	awaitAnswer                          // awaits the response head; → sendAnswer, refusing, or both connections leave the loop (relay.go)
	sendAnswer                           // writes the 101; → the session is open
	refusing                             // writes an HTTP refusal; → lingering
	lingering                            // waits for the client's end, behind the refusal
)

// A step says what a handshake waits for in one state, and what the loop does then.
type step struct {
	leg   Side                  // the leg whose events call ready
	ready func(*loop, *session) // nil: no event moves the handshake on
	late  func(*loop, *session) // called when the step's deadline has passed
	stop  func(*loop, *session) // called when the loop begins to drain; nil: a later step handles it

	clientWaits bool // the client is not read, and its end ends the handshake
	queues      bool // the handshake waits for a place in a queue
	beforeTLS   bool // with TLS, no refusal can be sent to the client yet
	permitted   bool // the handshake goes to the upstream, and has a permit
	over        bool // the outcome is counted, and only the client is still to be told
}

// steps has the step of each state. init sets it: a composite literal here would be an
// initialization cycle, because the functions in it use steps.
var steps [lingering + 1]step

func init() {
	steps = [...]step{
		awaitPreface: {leg: client, ready: (*loop).readPreface, late: slowHead, stop: refuseUnasked, beforeTLS: true},
		awaitHello:   {leg: client, ready: (*loop).readHello, late: slowHead, stop: refuseUnasked, beforeTLS: true},
		greeting:     {late: slowGreeting, clientWaits: true, queues: true, beforeTLS: true},
		securing:     {late: slowTLS, beforeTLS: true},
		awaitRequest: {leg: client, ready: (*loop).readRequest, late: slowHead, stop: refuseUnasked},

		resolving:        {late: (*loop).dialTimeout, stop: refuseStop, clientWaits: true, permitted: true},
		queued:           {late: slowQueue, stop: refuseStop, clientWaits: true, queues: true, permitted: true},
		dialing:          {leg: upstream, ready: (*loop).dialed, late: (*loop).dialTimeout, stop: refuseStop, clientWaits: true, permitted: true},
		securingUpstream: {late: (*loop).dialTimeout, stop: refuseStop, clientWaits: true, permitted: true},
		sendRequest:      {leg: upstream, ready: (*loop).writeRequest, late: slowUpstream, stop: refuseStop, clientWaits: true, permitted: true},
		awaitAnswer:      {leg: upstream, ready: (*loop).readAnswer, late: slowUpstream, stop: refuseStop, clientWaits: true, permitted: true},

		sendAnswer: {leg: client, ready: (*loop).writeAnswer, late: slowClient, permitted: true},
		refusing:   {leg: client, ready: (*loop).writeRefusal, late: (*loop).cutOpening, stop: hurryOut, over: true},
		lingering:  {leg: client, ready: (*loop).linger, late: (*loop).cutOpening, stop: hurryOut, over: true},
	}
}

// step returns the step of the handshake's state.
func (o *opening) step() *step { return &steps[o.state] }

func refuseStop(l *loop, s *session) { l.refuse(s, metrics.ResultDraining, refuseDraining) }

// refuseUnasked is for a client whose request has not come yet. As long as the listener is
// open, the client is refused when the request has come: an answer before its request
// confuses some clients.
func refuseUnasked(l *loop, s *session) {
	if l.shut {
		refuseStop(l, s)
	} else {
		l.comesLate(s)
	}
}

func slowHead(l *loop, s *session) { l.refuse(s, metrics.ResultTimeout, refuseSlowHead) }

func slowGreeting(l *loop, s *session) {
	l.abandon(s, metrics.ResultLimit, "TLS handshake with client", errQueuedTooLong)
}

func slowTLS(l *loop, s *session) {
	l.abandon(s, metrics.ResultTimeout, "TLS handshake with client", os.ErrDeadlineExceeded)
}

// slowQueue is for a client that has waited too long for a place at its target. It goes on
// to another one that is up.
func slowQueue(l *loop, s *session) {
	route := &s.opening.route
	if route.More(l.now) {
		l.passOver(s, errQueuedTooLong)
		return
	}
	route.Skipped(errQueuedTooLong)
	_, err := route.Err()
	l.fail(s, slog.LevelWarn, metrics.ResultLimit, "wait for other handshakes", err, refuseBusy)
}

func slowUpstream(l *loop, s *session) {
	l.upstreamFailed(s, metrics.ResultTimeout, "await upstream's answer", errUpstreamSilent)
}

func slowClient(l *loop, s *session) {
	l.abandon(s, metrics.ResultClientGone, "send the 101", os.ErrDeadlineExceeded)
}
