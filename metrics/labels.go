package metrics

import "strconv"

// Side says who did something or whose fault it is. The sides before Proxy have a leg.
type Side uint8

const (
	Client   Side = iota // the peer that connected to us
	Upstream             // the service behind us
	Proxy                // this proxy
)

// legs is the number of sides that have a leg: Client and Upstream.
const legs = int(Proxy)

var sideLabels = [...]string{
	Client:   "client",
	Upstream: "upstream",
	Proxy:    "proxy",
}

// sides is the number of all sides.
const sides = len(sideLabels)

// String returns the value of the label side.
func (s Side) String() string { return label(sideLabels[:], "Side", uint8(s)) }

// Reason says why a session was dropped.
type Reason uint8

const (
	PingTimeout   Reason = iota // the peer did not answer a ping in time
	WriteTimeout                // the peer took no byte while bytes waited for it
	CloseTimeout                // the peer did not complete the close handshake in time
	IdleTimeout                 // no data frame went either way for too long
	MaxDuration                 // the session reached its greatest age
	EOF                         // the peer ended its TCP without a Close
	Reset                       // the peer reset its TCP
	IOError                     // reading or writing failed with any other error, such as ETIMEDOUT
	ProtocolError               // the peer broke RFC 6455
	TooBig                      // the peer sent a frame over the limit
	Drain                       // the proxy shuts down
	Admin                       // an operator asked for it
	Internal                    // a fault of the proxy
)

var reasonLabels = [...]string{
	PingTimeout:   "ping_timeout",
	WriteTimeout:  "write_timeout",
	CloseTimeout:  "close_timeout",
	IdleTimeout:   "idle_timeout",
	MaxDuration:   "max_duration",
	EOF:           "eof",
	Reset:         "reset",
	IOError:       "io_error",
	ProtocolError: "protocol_error",
	TooBig:        "too_big",
	Drain:         "drain",
	Admin:         "admin",
	Internal:      "internal",
}

// reasons is the number of reasons.
const reasons = len(reasonLabels)

// String returns the value of the label reason.
func (r Reason) String() string { return label(reasonLabels[:], "Reason", uint8(r)) }

// LegalDrop reports whether a session can be dropped with that side and that reason.
// Each reason is either always the proxy's or always a peer's.
func LegalDrop(side Side, reason Reason) bool {
	switch reason {
	case IdleTimeout, MaxDuration, Drain, Admin, Internal:
		return side == Proxy
	case PingTimeout, WriteTimeout, CloseTimeout, EOF, Reset, IOError, ProtocolError, TooBig:
		return side == Client || side == Upstream
	}
	return false
}

// Result says how a handshake ended.
type Result uint8

const (
	ResultOK                  Result = iota // the client got the whole of its 101
	ResultBadRequest                        // the request is not a valid opening handshake
	ResultOriginDenied                      // the browser's Origin is not allowed
	ResultLimit                             // too many sessions, or too large a head
	ResultLimitPerIP                        // the client's address has as many connections as it may have
	ResultDraining                          // the proxy shuts down
	ResultClientGone                        // the client left before it had its 101
	ResultUpstreamUnreachable               // no upstream could be dialed
	ResultUpstreamRefused                   // the upstream's answer was well-formed but not a 101
	ResultUpstreamInvalid                   // the upstream's answer was a bad 101, or not HTTP
	ResultTimeout                           // the client's head, the dial or the upstream took too long
	ResultInternal                          // a fault of the proxy
)

var resultLabels = [...]string{
	ResultOK:                  "ok",
	ResultBadRequest:          "bad_request",
	ResultOriginDenied:        "origin_denied",
	ResultLimit:               "limit",
	ResultLimitPerIP:          "limit_per_ip",
	ResultDraining:            "draining",
	ResultClientGone:          "client_gone",
	ResultUpstreamUnreachable: "upstream_unreachable",
	ResultUpstreamRefused:     "upstream_refused",
	ResultUpstreamInvalid:     "upstream_invalid",
	ResultTimeout:             "timeout",
	ResultInternal:            "internal",
}

// results is the number of results.
const results = len(resultLabels)

// String returns the value of the label result.
func (r Result) String() string { return label(resultLabels[:], "Result", uint8(r)) }

// Stage is a part of a handshake.
type Stage uint8

const (
	Dial    Stage = iota // connecting to the upstream
	Upgrade              // from our request to the upstream's answer
	Total                // from the client's request to its answer
)

var stageLabels = [...]string{
	Dial:    "dial",
	Upgrade: "upgrade",
	Total:   "total",
}

// stages is the number of stages.
const stages = len(stageLabels)

// String returns the value of the label stage.
func (s Stage) String() string { return label(stageLabels[:], "Stage", uint8(s)) }

// label returns labels[v]. For a value outside the enum it returns the enum's name with
// v, so that the bug can be seen in a log.
func label(labels []string, enum string, v uint8) string {
	if int(v) < len(labels) {
		return labels[v]
	}
	return enum + "(" + strconv.Itoa(int(v)) + ")"
}

// opcodeSpace is the number of opcodes that fit a frame header's four bits.
const opcodeSpace = 16

// opcodes are the opcodes of RFC 6455 5.2 that are not reserved.
var opcodes = [...]struct {
	code  uint8
	label string
}{
	{0x0, "continuation"},
	{0x1, "text"},
	{0x2, "binary"},
	{0x8, "close"},
	{0x9, "ping"},
	{0xA, "pong"},
}

// A closeCode is a bucket of close codes. Each code of RFC 6455 7.4.1, and each one
// registered since, has its own bucket; all others have one for their range (7.4.2).
type closeCode uint8

const (
	firstCode = 1000 // the bucket of code n, firstCode ≤ n ≤ lastCode, is n - firstCode
	lastCode  = 1015
)

const (
	codeNone    closeCode = iota + lastCode - firstCode + 1 // a Close without a code
	codeLibrary                                             // 3000–3999: libraries and frameworks
	codePrivate                                             // 4000–4999: applications
	codeOther                                               // any other code
)

// closeCodes is the number of buckets.
const closeCodes = int(codeOther) + 1

// bucket returns the bucket of a received close code. code < 0 means that there was none.
func bucket(code int) closeCode {
	switch {
	case code < 0:
		return codeNone
	case firstCode <= code && code <= lastCode:
		return closeCode(code - firstCode)
	case 3000 <= code && code <= 3999:
		return codeLibrary
	case 4000 <= code && code <= 4999:
		return codePrivate
	}
	return codeOther
}

// String returns the value of the label code.
func (c closeCode) String() string {
	switch c {
	case codeNone:
		return "none"
	case codeLibrary:
		return "3xxx"
	case codePrivate:
		return "4xxx"
	case codeOther:
		return "other"
	}
	return strconv.Itoa(firstCode + int(c))
}
