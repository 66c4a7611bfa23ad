package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/socket"
)

// PeerPings says what becomes of a ping that a peer sends on its own.
type PeerPings uint8

const (
	AnswerPings  PeerPings = iota // answered here; pongs that nobody asked for are swallowed
	ForwardPings                  // passed to the other side, as are all pongs but those to our own pings
)

// CloseCodes are the codes that a client is sent when its session is dropped
// through no fault of its protocol. Clients decide by them whether to reconnect.
type CloseCodes struct {
	Timeout      uint16 // the client missed its pong
	UpstreamLost uint16 // the upstream missed its pong, broke the protocol or went away
	Drain        uint16 // the session is idle, too old, drained or closed by an operator
}

// Config is everything a Server is told. All durations must be positive unless
// zero is given a meaning.
type Config struct {
	// Listen is the address to accept clients on: host:port, or unix: and the
	// path of a socket that is made.
	Listen string
	// ListenFile is a listening socket that was made by somebody else, as by
	// systemd; nil if there is none. It stands above Listen.
	ListenFile *os.File
	// TLS is what clients are met with; nil means plain TCP.
	TLS *tls.Config

	// Upstream is the service behind the proxy: scheme ws, http, wss or https, a
	// host, and an optional path that is put before every request's own; or
	// scheme unix and, as its path, a socket's.
	Upstream *url.URL
	// UpstreamTLS gives the configuration for the next connection to an upstream of
	// scheme wss or https.
	UpstreamTLS func() *tls.Config
	// UpstreamHost is the Host that requests are sent on with; empty means the client's.
	UpstreamHost string
	// UpstreamHeader are fields that every request is sent on with. A client
	// cannot send fields of these names. See ParseHeaderFields for those that cannot
	// be set.
	UpstreamHeader HeaderFields
	// RefuseHTTP has requests that are no WebSocket upgrade refused with 426.
	// Otherwise they are passed on.
	RefuseHTTP bool

	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded fields are
	// believed and extended; from all others they are replaced.
	TrustedProxies []netip.Prefix
	// TrustUnix adds whoever connects to a unix socket to them.
	TrustUnix bool
	// ProxyProtocol has a PROXY protocol header demanded of trusted proxies.
	ProxyProtocol bool
	// AllowedOrigins are the web origins that browsers may open sessions from;
	// none means any.
	AllowedOrigins []OriginPattern

	// Client and UpstreamSide are the keepalive rules of the two legs.
	Client, UpstreamSide heartbeat.Rules
	// PeerPings says what becomes of the peers' own pings.
	PeerPings PeerPings

	// HandshakeTimeout bounds the client's request head and, again, the
	// upstream's answer: each in total, however the bytes dribble in.
	HandshakeTimeout time.Duration
	// DialTimeout bounds name resolution, TCP connect and TLS handshake to the upstream.
	DialTimeout time.Duration
	// WriteTimeout is how long a leg may take no byte while bytes wait for it.
	WriteTimeout time.Duration
	// CloseTimeout is how long a peer may take to answer a Close, and then to end its TCP.
	CloseTimeout time.Duration
	// IdleTimeout ends a session that carried no data frame for so long; 0 means never.
	IdleTimeout time.Duration
	// MaxSessionDuration ends a session of that age, give or take a tenth; 0 means never.
	MaxSessionDuration time.Duration
	// TCPUserTimeout is the kernel's own limit on unacknowledged data; 0 leaves its default.
	TCPUserTimeout time.Duration

	// MaxSessions bounds the sessions, handshakes under way included; 0 means as
	// many as the file-descriptor limit allows. Connections with requests that are
	// not upgrades are bounded by that limit: they may take half of the places, or what
	// MaxSessions leaves if that is more.
	MaxSessions int
	// MaxSessionsPerIP bounds the connections of one client address from accept to
	// close, whatever they are for, an IPv6 /64 being one address; 0 means no
	// limit. Those of a trusted proxy count once a PROXY protocol header or a
	// handshake names a client.
	MaxSessionsPerIP int
	// MaxFrameSize is the largest frame payload passed on, in bytes; 0 means no limit.
	MaxFrameSize int64
	// MaxHeaderSize is the largest request or response head accepted, in bytes.
	MaxHeaderSize int

	// CloseCodes are the codes that clients are sent.
	CloseCodes CloseCodes

	// Loops is the number of event loops; 0 means one for each usable core.
	Loops int

	Log     *slog.Logger
	Metrics *metrics.Metrics

	// Ended is told how each session has ended, once. The event loop calls it and
	// waits: it must not block. It may be nil.
	Ended func(*Ended)

	// find finds the addresses of Upstream's host; nil means as the system does.
	find func(ctx context.Context, host string) ([]netip.Addr, error)
}

// socketOptions are what the kernel is told of all TCP connections.
func (c *Config) socketOptions() socket.Options {
	return socket.Options{
		UserTimeout: c.TCPUserTimeout,
		RTOMax:      c.longestBackoff(),
		KeepAlive:   c.keepAlive(),
	}
}

// keepAlive is after how much silence the kernel is to probe a peer. Our pings come
// sooner wherever they can: this is for a peer to whom a frame is under way that
// is never completed, so that no ping can be put in between.
func (c *Config) keepAlive() (silence time.Duration) {
	for _, r := range []heartbeat.Rules{c.Client, c.UpstreamSide} {
		if r.Interval > 0 {
			silence = max(silence, time.Second, r.Interval+r.Timeout)
		}
	}
	return min(silence, 32767*time.Second) // the kernel takes no more
}

// longestBackoff is how long the kernel may wait before it sends a lost segment
// again. By itself it doubles the wait up to two minutes: after a network was down
// for 15 s it may be silent for 10 s more, and a ping or its pong is late through
// nobody's fault.
func (c *Config) longestBackoff() time.Duration {
	longest := 5 * time.Second
	for _, r := range []heartbeat.Rules{c.Client, c.UpstreamSide} {
		if r.Interval > 0 && r.Timeout > 0 {
			longest = min(longest, r.Timeout/5)
		}
	}
	return max(time.Second, longest) // the kernel takes no less
}
