package main

import "fmt"

// The heartbeats of applications. A client answers appPing with appPong, as page code does.
// The backend sends back all that it gets, so upstreamAppPing is its own answer.
const (
	appPing         = `{"type":"ping"}`
	appPong         = `{"type":"pong"}`
	upstreamAppPing = `{"type":"beat"}`
)

// appVariables are Holdfast's variables for all heartbeats of applications. No message of the
// load is one of the heartbeats, or is answered by the rules.
var appVariables = []string{
	"HOLDFAST_CLIENT_APP_PING=" + appPing,
	"HOLDFAST_CLIENT_APP_PONG=" + appPong,
	"HOLDFAST_CLIENT_APP_ANSWER=" + appAnswer,
	"HOLDFAST_UPSTREAM_APP_PING=" + upstreamAppPing,
	"HOLDFAST_UPSTREAM_APP_PONG=" + upstreamAppPing,
	"HOLDFAST_UPSTREAM_APP_ANSWER=" + appAnswer,
}

// appAnswer is the rule for the heartbeats of both peers, which send none.
const appAnswer = `{"type":"ping","id":*}=>{"type":"pong","id":*}`

// appPongFrame is a client's answer to appPing.
var appPongFrame = appendFrame(nil, opText, &loadMask, []byte(appPong))

// mayBeAppPing reports whether a client takes a message for appPing. No message of the load
// has the same length.
func mayBeAppPing(h *frameHeader) bool {
	return h.opcode == opText && h.length == uint64(len(appPing))
}

// checkAppPing returns an error if a message that may be appPing is another.
func checkAppPing(payload []byte) error {
	if string(payload) != appPing {
		return fmt.Errorf("an unexpected message %q", payload)
	}
	return nil
}
