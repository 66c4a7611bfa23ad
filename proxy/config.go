package proxy

import (
	"context"
	"crypto/tls"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/message"
	"holdfast/proxy/internal/socket"
)

// PeerPings says what is done with a ping that a peer sends on its own.
type PeerPings uint8

const (
	AnswerPings  PeerPings = iota // the proxy answers it; unsolicited pongs are swallowed
	ForwardPings                  // it is passed to the other side, like every pong that does not answer a ping of the proxy
)

// CloseCodes are the codes that a client is sent when its session is dropped and the
// client did not break the protocol. Clients decide by the code whether to reconnect.
type CloseCodes struct {
	Timeout      uint16 // the client missed its pong
	UpstreamLost uint16 // the upstream missed its pong, broke the protocol or went away
	Drain        uint16 // the session is idle, too old, drained or closed by an operator
}

// App says which text messages the proxy exchanges with the peer of a leg on its own. Its
// zero value means none.
type App struct {
	// Ping is the text of a message that the peer is sent every Interval; empty means none.
	Ping     string
	Interval time.Duration
	// Pong matches the messages with which the peer answers Ping; nil means that it does
	// not. An answer is not passed on. Once the peer has answered, it owes an answer to each
	// Ping within the ping timeout of its leg.
	Pong *message.Pattern
	// Answers are the rules by which the proxy answers messages of the peer, and does not
	// pass them on. The first one that matches counts, and Pong comes before all of them.
	Answers []message.Answer
}

// Pace limits what is read from the peer of a leg, each second; 0 means no limit. Nothing is
// dropped: the peer is read more slowly.
type Pace struct {
	Frames float64 // of all kinds
	Bytes  float64
}

// An Upstream is one name, address or socket of the service behind the proxy.
type Upstream struct {
	// URL is a URL of scheme ws, http, wss or https with a host and an optional path, which
	// is put before the path of every request; or a URL of scheme unix whose path is the
	// path of a socket.
	URL *url.URL
	// TLS returns the configuration for the next connection. It is required for the
	// schemes wss and https, and is not used for the others.
	TLS func() *tls.Config
	// Host is the Host field of requests; empty means the client's.
	Host string
	// HealthHost is the Host field of the requests that check the upstream.
	HealthHost string
}

// Config configures a Server. A duration must be positive unless its field gives zero a
// meaning.
type Config struct {
	// Listen is the address to accept clients on: host:port, or unix: and the path of a
	// socket to make.
	Listen string
	// ListenMode is the mode of the file of a unix socket that Listen names; 0 leaves it to
	// the umask of the process.
	ListenMode fs.FileMode
	// ListenFile is a listening socket that another process has made, such as systemd;
	// nil if there is none. It takes precedence over Listen.
	ListenFile *os.File
	// TLS is the configuration for connections from clients; nil means plain TCP.
	TLS *tls.Config

	// Upstreams are the service behind the proxy. There is at least one. Each address of
	// each of them is a target of its own, see Balance. All have the same path.
	Upstreams []Upstream
	// Balance is the rule by which a request gets its target.
	Balance Balance
	// SlowStart is how long a target's share of new sessions grows after the target was
	// down, from a tenth to the whole; 0 means that it has its whole share at once.
	SlowStart time.Duration
	// UpstreamHeader are fields that are added to every request to the upstream. Fields
	// of these names from a client are removed. See ParseHeaderFields for the fields that
	// cannot be set.
	UpstreamHeader HeaderFields
	// NoCompression leaves permessage-deflate out of what the upstream is offered.
	NoCompression bool
	// RefuseHTTP refuses requests that are not WebSocket upgrades, with status 426.
	// Otherwise they are passed on.
	RefuseHTTP bool

	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded fields are believed
	// and extended. Those of all other peers are replaced.
	TrustedProxies []netip.Prefix
	// TrustUnix makes every peer that connects to a unix socket a trusted proxy.
	TrustUnix bool
	// ProxyProtocol requires a PROXY protocol header from trusted proxies.
	ProxyProtocol bool
	// AllowedOrigins are the web origins that browsers may open sessions from;
	// none means any.
	AllowedOrigins []OriginPattern

	// Client and UpstreamSide are the keepalive rules of the two legs.
	Client, UpstreamSide heartbeat.Rules
	// ClientApp and UpstreamApp are the messages of the proxy's own on the two legs.
	ClientApp, UpstreamApp App
	// PeerPings says what is done with the pings that peers send on their own.
	PeerPings PeerPings

	// HandshakeTimeout bounds the client's PROXY protocol header, TLS handshake and
	// request head. They must be complete within it, however slowly their bytes come.
	HandshakeTimeout time.Duration
	// UpstreamHandshakeTimeout bounds the upstream's answer in the same way.
	UpstreamHandshakeTimeout time.Duration
	// DialTimeout bounds name resolution, TCP connect and TLS handshake to the upstream.
	DialTimeout time.Duration
	// HTTPTimeout is how long a request that is not an upgrade may make no progress, in
	// either direction.
	HTTPTimeout time.Duration
	// HealthInterval is the time between two checks of an upstream that works. A check
	// connects, and gets HealthPath if that is set. Without HealthPath, a connection made
	// for a client takes the place of a check. 0 means that an upstream that works is not
	// checked. Negative means that it is not even checked at the start, and counts as up
	// until it fails. An upstream that is down is checked in any case.
	HealthInterval time.Duration
	// HealthPath is the path that a check gets; empty means that a connection is enough.
	// The upstream works if the answer's status is 2xx or 3xx.
	HealthPath string
	// WriteTimeout is how long a leg may take no bytes while bytes wait for it.
	WriteTimeout time.Duration
	// CloseTimeout is how long a peer may take to answer a Close, and then to end its TCP.
	CloseTimeout time.Duration
	// IdleTimeout is how long a session may carry no data frame; 0 means no limit.
	IdleTimeout time.Duration
	// MaxSessionDuration is how long a session may last, give or take a tenth; 0 means no
	// limit.
	MaxSessionDuration time.Duration
	// TCPUserTimeout is the kernel's own limit on unacknowledged data; 0 leaves the
	// kernel's default.
	TCPUserTimeout time.Duration

	// MaxSessions bounds the sessions, handshakes under way included; 0 means as many as
	// the limit on file descriptors allows. That limit also bounds the connections with
	// requests that are not upgrades: they may take half of the places, or what
	// MaxSessions leaves if that is more.
	MaxSessions int
	// MaxSessionsPerIP bounds the connections of one client address from accept to close,
	// whatever they are for; 0 means no limit. An IPv6 /64 is one address. A connection
	// of a trusted proxy counts once a PROXY protocol header or a handshake names its
	// client.
	MaxSessionsPerIP int
	// MaxFrameSize is the largest frame payload passed on, in bytes; 0 means no limit.
	MaxFrameSize int64
	// MaxMessageSize is the largest message passed on, in bytes of payload, those of all its
	// frames together; 0 means no limit. It is less than 4 GiB.
	MaxMessageSize int64
	// ClientPace limits what is read from each client.
	ClientPace Pace
	// MaxHeaderSize is the largest request or response head accepted, in bytes.
	MaxHeaderSize int

	// CloseCodes are the codes that clients are sent.
	CloseCodes CloseCodes

	// Loops is the number of event loops; 0 means one for each usable core.
	Loops int

	Log     *slog.Logger
	Metrics *metrics.Metrics

	// Ended is called once for each session that has ended. The event loop waits for it,
	// so it must not block. It may be nil.
	Ended func(*Ended)

	// find looks up the addresses of Upstream's host; nil means the system's resolver.
	find func(ctx context.Context, host string) ([]netip.Addr, error)
}

// socketOptions returns the options of all TCP connections.
func (c *Config) socketOptions() socket.Options {
	return socket.Options{
		UserTimeout: c.TCPUserTimeout,
		RTOMax:      c.longestBackoff(),
		KeepAlive:   c.keepAlive(),
	}
}

// pageUserTimeout is TCPUserTimeout for requests that are not upgrades. The kernel also
// counts a peer that acknowledges and has no room, and HTTPTimeout is for how long such a
// peer may pause.
func (c *Config) pageUserTimeout() time.Duration {
	const margin, longest = 10 * time.Second, 596 * time.Hour // the kernel takes milliseconds in an int
	if c.TCPUserTimeout == 0 {
		return 0
	}
	return max(c.TCPUserTimeout, min(c.HTTPTimeout+margin, longest))
}

// heartbeats returns the rules of all heartbeats: pings, and messages of applications.
func (c *Config) heartbeats() []heartbeat.Rules {
	return []heartbeat.Rules{c.Client, c.UpstreamSide,
		newAppRules(&c.ClientApp, c.Client).rules, newAppRules(&c.UpstreamApp, c.UpstreamSide).rules}
}

// keepAlive returns after how much silence the kernel probes a peer. Our pings come
// sooner where they can be sent. The probes are for a peer that waits inside a frame that
// is never completed, where no ping can be sent.
func (c *Config) keepAlive() (silence time.Duration) {
	for _, r := range c.heartbeats() {
		if r.Interval > 0 {
			silence = max(silence, time.Second, r.Interval+r.Timeout)
		}
	}
	return min(silence, 32767*time.Second) // the kernel takes no more
}

// longestBackoff returns how long the kernel may wait before it retransmits a lost
// segment. By itself the kernel doubles the wait, up to two minutes. After a network was
// down for 15 s it may stay silent for 10 s more, and then a ping or its pong is late
// although neither peer is at fault.
func (c *Config) longestBackoff() time.Duration {
	longest := 5 * time.Second
	for _, r := range c.heartbeats() {
		if r.Interval > 0 && r.Timeout > 0 {
			longest = min(longest, r.Timeout/5)
		}
	}
	return max(time.Second, longest) // the kernel takes no less
}
