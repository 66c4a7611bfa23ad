package proxy

import (
	"log/slog"
	"os"

	"holdfast/metrics"
)

// openingState is the step that a handshake is at. Any step but the last two
// may also end it, see abandon.
type openingState uint8

const (
	awaitPreface     openingState = iota // the PROXY protocol header; → awaitHello, awaitRequest, or what follows those, refusing
	awaitHello                           // the first record of TLS; → greeting, securing
	greeting                             // waits for a place in tlsQueue; → securing
	securing                             // the TLS handshake is under way beside the loop; → awaitRequest
	awaitRequest                         // → queued, refusing, or the socket leaves the loop (pages.go)
	queued                               // waits for a place in dialQueue; → resolving, refusing
	resolving                            // → dialing, refusing
	dialing                              // → securingUpstream, sendRequest, refusing
	securingUpstream                     // likewise beside the loop; → dialing, sendRequest, refusing
	sendRequest                          // → awaitAnswer, refusing
	awaitAnswer                          // → sendAnswer, refusing, or both sockets leave the loop (relay.go)
	sendAnswer                           // → the session is open
	refusing                             // an HTTP refusal is being written; → lingering
	lingering                            // it is written; the client's end is awaited
)

// A step is what a handshake waits for, and what it does then.
type step struct {
	leg   Side                  // whose readiness it waits for, to go on by ready
	ready func(*loop, *session) // nil: it waits for nothing that is with the loop
	late  func(*loop, *session) // its time is up
	stop  func(*loop, *session) // the loop begins to drain; nil: the next step sees to it

	clientWaits bool // the client can only wait: it is not read, and its end ends the handshake
	queues      bool // for a place in a queue
	beforeTLS   bool // a client that is to have TLS cannot be told anything yet
	over        bool // it is counted: what remains is to tell the client
}

// steps are all of them, by state. They are made by init, since what they call
// looks at them.
var steps [lingering + 1]step

func init() {
	steps = [...]step{
		awaitPreface: {leg: client, ready: (*loop).readPreface, late: slowHead, stop: refuseStop, beforeTLS: true},
		awaitHello:   {leg: client, ready: (*loop).readHello, late: slowHead, stop: refuseStop, beforeTLS: true},
		greeting:     {late: slowGreeting, clientWaits: true, queues: true, beforeTLS: true},
		securing:     {late: slowTLS, beforeTLS: true},
		awaitRequest: {leg: client, ready: (*loop).readRequest, late: slowHead, stop: refuseStop},

		queued:           {late: slowQueue, stop: refuseStop, clientWaits: true, queues: true},
		resolving:        {late: (*loop).dialTimeout, stop: refuseStop, clientWaits: true},
		dialing:          {leg: upstream, ready: (*loop).dialed, late: (*loop).dialTimeout, stop: refuseStop, clientWaits: true},
		securingUpstream: {late: (*loop).dialTimeout, stop: refuseStop, clientWaits: true},
		sendRequest:      {leg: upstream, ready: (*loop).writeRequest, late: slowUpstream, stop: refuseStop, clientWaits: true},
		awaitAnswer:      {leg: upstream, ready: (*loop).readAnswer, late: slowUpstream, stop: refuseStop, clientWaits: true},

		sendAnswer: {leg: client, ready: (*loop).writeAnswer, late: slowClient},
		refusing:   {leg: client, ready: (*loop).writeRefusal, late: (*loop).cutOpening, over: true},
		lingering:  {leg: client, ready: (*loop).linger, late: (*loop).cutOpening, over: true},
	}
}

// step is the one that the handshake is at.
func (o *opening) step() *step { return &steps[o.state] }

func refuseStop(l *loop, s *session) { l.refuse(s, metrics.ResultDraining, refuseDraining) }

func slowHead(l *loop, s *session) { l.refuse(s, metrics.ResultTimeout, refuseSlowHead) }

func slowGreeting(l *loop, s *session) {
	l.abandon(s, metrics.ResultLimit, "TLS handshake with client", errQueuedTooLong)
}

func slowTLS(l *loop, s *session) {
	l.abandon(s, metrics.ResultTimeout, "TLS handshake with client", os.ErrDeadlineExceeded)
}

func slowQueue(l *loop, s *session) {
	l.logHandshake(s, slog.LevelWarn, metrics.ResultLimit, "wait for other handshakes", errQueuedTooLong)
	l.refuse(s, metrics.ResultLimit, refuseBusy)
}

func slowUpstream(l *loop, s *session) {
	l.upstreamFailed(s, metrics.ResultTimeout, "await upstream's answer", errUpstreamSilent)
}

func slowClient(l *loop, s *session) {
	l.abandon(s, metrics.ResultClientGone, "send the 101", os.ErrDeadlineExceeded)
}
