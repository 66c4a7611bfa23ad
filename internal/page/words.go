package page

import (
	"strings"

	"holdfast/internal/status"
)

// why has words for each reason of a drop, by the side at fault. The words continue a
// sentence: of clients after "12 clients", of upstreams after "In 12 sessions the
// upstream", of the proxy after "Holdfast ended 12 sessions".
var why = map[string]map[string]string{
	"client": {
		"ping_timeout":   "stopped answering pings: their network, most likely",
		"write_timeout":  "took no more bytes: a slow network, or a program that is stuck",
		"close_timeout":  "did not complete the close handshake in time",
		"eof":            "hung up without a Close: a program that ended, or a box on the way",
		"reset":          "reset their connection without a Close",
		"io_error":       "could not be reached any more: an error of the network",
		"protocol_error": "broke the WebSocket protocol",
		"too_big":        "sent a frame over the limit",
	},
	"upstream": {
		"ping_timeout":   "stopped answering pings: the service or its network hangs, most likely",
		"write_timeout":  "took no more bytes: the service reads too slowly, or is stuck",
		"close_timeout":  "did not complete the close handshake in time",
		"eof":            "hung up without a Close: the service ended, or a box on the way",
		"reset":          "reset the connection without a Close",
		"io_error":       "could not be reached any more: an error of the network",
		"protocol_error": "broke the WebSocket protocol",
		"too_big":        "sent a frame over the limit",
	},
	"proxy": {
		"idle_timeout": "because no data went either way for too long",
		"max_duration": "because they had reached their greatest age",
		"drain":        "because it drained, or their upstream",
		"admin":        "because an operator asked for it",
		"internal":     "by a fault of its own: please report it",
	},
}

// dropped says in a sentence why n sessions were dropped.
func dropped(side, reason string, n int) string {
	words := wordsFor(side, reason, n)
	switch side {
	case "client":
		return counted(n, "client ", "clients ") + words + "."
	case "upstream":
		return "In " + counted(n, "session", "sessions") + " the upstream " + words + "."
	}
	return "Holdfast ended " + counted(n, "session ", "sessions ") + words + "."
}

// wordsFor returns the words of why for n sessions.
func wordsFor(side, reason string, n int) string {
	words, known := why[side][reason]
	if !known {
		words = "(" + strings.ReplaceAll(reason, "_", " ") + ")"
	}
	if n == 1 && side != "upstream" {
		words = strings.NewReplacer("they had", "it had", "their ", "its ").Replace(words)
	}
	return words
}

// ended says in a sentence why one session ended.
func ended(e status.End) string {
	switch {
	case e.Closed:
		return "The " + e.Side + " closed it in order."
	case e.Side == "client" || e.Side == "upstream":
		return "The " + e.Side + " " + wordsFor(e.Side, e.Reason, 1) + "."
	}
	return "Holdfast ended it " + wordsFor(e.Side, e.Reason, 1) + "."
}

// closed says in a sentence who closed n sessions.
func closed(side string, n int) string {
	if side == "client" {
		return counted(n, "session was closed by its client", "sessions were closed by their clients") + "."
	}
	return counted(n, "session was closed by its upstream", "sessions were closed by their upstreams") + "."
}

// results has words for each result of a handshake but ok, in the order in which a
// handshake can come to them. refused says that Holdfast itself refused the client.
var results = []struct {
	name    string
	refused bool
	words   string
}{
	{"bad_request", true, "sent a request that is not a valid handshake"},
	{"origin_denied", true, "came from a web page that may not open sessions"},
	{"limit", true, "came when all places were taken, or with too large a head"},
	{"limit_per_ip", true, "came from an address with too many connections"},
	{"draining", true, "came during a drain"},
	{"upstream_unreachable", false, "could not be connected to an upstream"},
	{"upstream_refused", false, "were refused by the upstream"},
	{"upstream_invalid", false, "got an answer of the upstream that is not a WebSocket's"},
	{"timeout", false, "waited too long, or were too slow themselves"},
	{"client_gone", false, "left before their session was open"},
	{"internal", false, "met a fault of Holdfast's own: please report it"},
}
