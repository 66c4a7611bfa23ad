package proxy

import (
	"net/netip"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/peraddress"
)

// Side says which leg of a session is meant, or in a cause who is at fault.
type Side = metrics.Side

const (
	client   = metrics.Client
	upstream = metrics.Upstream
	proxy    = metrics.Proxy
)

var sides = [...]Side{client, upstream}

func opposite(side Side) Side { return upstream - side }

// A session is one client, one upstream connection, and the frames between
// them. It is owned by its loop; no other goroutine touches it. Established
// and idle it is this struct and nothing else: no goroutine, no timer object,
// no buffer.
type session struct {
	// Static once the session is open.
	id      uint64
	token   epoll.Token      // slot and generation; the leg's bit is added
	remote  netip.AddrPort   // the client; port 0: its address is known from a trusted proxy only; zero: a unix socket's peer
	path    string           // of the request, without its query; for the log
	backend *backend.Backend // where the request goes; nil until it is known

	// opening is the state of the opening handshake; nil once the session is open.
	opening *opening

	opened   heartbeat.Time // when the 101 had been written
	lastData heartbeat.Time // when a data frame last came from either peer
	until    heartbeat.Time // when the session ends, or its end is cut short, whatever its peers do
	timer    heartbeat.Time // what the wheel will call for; never later than due

	cause  cause
	legs   [2]leg          // by side
	seat   peraddress.Seat // how it counts for its client's address, see seat.go
	learnt bool            // the client has answered a ping
	why    Reason          // of an end of ours at until, while the session is live
}
