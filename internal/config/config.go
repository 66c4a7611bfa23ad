// Package config is the configuration of Holdfast. Environment variables are its only
// source.
//
// The path through it: Load takes the variables with the prefix HOLDFAST_ (settings.go).
// It fills Config by the rules of the fields' types (values.go and others), looks for
// values that contradict each other (contradictions.go) and for names that do not exist,
// and loads the TLS files (certificates.go). It reports every problem, each with its
// variable and what to write instead (problems.go). Config.Proxy returns the
// configuration of the proxy (proxy.go). Describe lists every setting, and the Formats
// print that list (print.go).
//
// The environment is an argument: only main reads that of the process.
package config

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/caarlos0/env/v10"

	"holdfast/heartbeat"
	"holdfast/proxy"
)

// Config is the checked configuration, and the only list of its variables. Each field is
// a variable. The order of the fields is the order in which variables and their problems
// are shown. A field's type selects the rule for its values (parsers). Its tags are:
//
//   - env: the variable's name
//   - envDefault: its value while it is unset or empty
//   - inherits: the variable, earlier in Config, whose value it takes while it is unset
//     or empty
//   - meaning: its description for users; words of the configuration are in braces
//   - file: a second variable, with the suffix _FILE, names a file that holds the value;
//     this is that one's meaning
//   - secret: no output may show its value
type Config struct {
	Upstreams   Upstreams     `env:"HOLDFAST_UPSTREAM" meaning:"required: the service behind the proxy, a list of its names, addresses and sockets: {ws://}, {wss://}, {http://} or {https://} and {host:port}, or {unix:/path}; a path is a prefix ({/ws} and a request for {/} give {/ws}), the same for all; each address of each name is a target of its own"`
	Listen      listenAddress `env:"HOLDFAST_LISTEN" envDefault:":8080" meaning:"where clients connect: {host:port}, {unix:/path} (with {?mode=0660} the socket gets that mode), or {systemd:NAME} for a socket of that {FileDescriptorName}"`
	AdminListen adminAddress  `env:"HOLDFAST_ADMIN_LISTEN" envDefault:"127.0.0.1:8081" meaning:"metrics and health: {host:port} or {off}"`

	PingInterval         time.Duration      `env:"HOLDFAST_PING_INTERVAL" envDefault:"20s" meaning:"how often a peer is pinged, on both legs; {0} = no pings"`
	PingTimeout          time.Duration      `env:"HOLDFAST_PING_TIMEOUT" envDefault:"20s" meaning:"how long a ping's answer may take, on both legs; {0} = pings without a deadline"`
	ClientPingInterval   time.Duration      `env:"HOLDFAST_CLIENT_PING_INTERVAL" inherits:"HOLDFAST_PING_INTERVAL" meaning:"the same for the leg to the client alone"`
	ClientPingTimeout    time.Duration      `env:"HOLDFAST_CLIENT_PING_TIMEOUT" inherits:"HOLDFAST_PING_TIMEOUT" meaning:"the same for the leg to the client alone"`
	UpstreamPingInterval time.Duration      `env:"HOLDFAST_UPSTREAM_PING_INTERVAL" inherits:"HOLDFAST_PING_INTERVAL" meaning:"the same for the leg to the upstream alone"`
	UpstreamPingTimeout  time.Duration      `env:"HOLDFAST_UPSTREAM_PING_TIMEOUT" inherits:"HOLDFAST_PING_TIMEOUT" meaning:"the same for the leg to the upstream alone"`
	PingJitter           fraction           `env:"HOLDFAST_PING_JITTER" envDefault:"0.1" meaning:"part of the interval, {0} to {1}, by which a session's first ping may come early: sessions opened together do not ping together"`
	Liveness             heartbeat.Liveness `env:"HOLDFAST_LIVENESS" envDefault:"any" meaning:"what proves a peer alive after a ping: {any} byte from it (a pong of any payload is an answer then), or only the matching {pong}"`
	ClientPong           heartbeat.PongMode `env:"HOLDFAST_CLIENT_PONG" envDefault:"require" meaning:"{require} · {auto} (learnt per session) · {ignore} (pings and measures, no deadline)"`
	UpstreamPong         heartbeat.PongMode `env:"HOLDFAST_UPSTREAM_PONG" envDefault:"auto" meaning:"{require} · {auto} (the deadline holds only for an address of an upstream that has ever answered a ping) · {ignore}"`
	PeerPings            proxy.PeerPings    `env:"HOLDFAST_PEER_PINGS" envDefault:"answer" meaning:"a peer's own pings: {answer} here (and swallow unasked pongs), or {forward} to the other side, with all pongs but those to our own pings"`

	ClientAppPing           appPing           `env:"HOLDFAST_CLIENT_APP_PING" meaning:"a text message that each client is sent at an interval, between messages: for page code, which does not see pings, and for a client that ends sessions without messages; {\\n}, {\\r}, {\\t}, {\\xHH}, {\\*}, {\\;}, {\\=} and {\\\\} are escapes in it, and in the other texts of messages; at most {1024} bytes; unset = none" file:"a file that holds it instead; a newline at its end is not part of it"`
	ClientAppPingInterval   time.Duration     `env:"HOLDFAST_CLIENT_APP_PING_INTERVAL" inherits:"HOLDFAST_CLIENT_PING_INTERVAL" meaning:"how often {HOLDFAST_CLIENT_APP_PING} is sent"`
	ClientAppPong           *proxy.AppPattern `env:"HOLDFAST_CLIENT_APP_PONG" meaning:"the text message with which a client answers {HOLDFAST_CLIENT_APP_PING}: it is measured and not passed on; a client that has answered once must then send it, or any other data message, within {HOLDFAST_CLIENT_PING_TIMEOUT}; one {*} stands for any run of bytes; with it permessage-deflate is not offered to the upstream" file:"a file that holds it instead; a newline at its end is not part of it"`
	ClientAppAnswer         appAnswers        `env:"HOLDFAST_CLIENT_APP_ANSWER" meaning:"text messages of a client that are answered here and not passed on: {ASKED=>ANSWER}, several separated by newlines or by {;;}; one {*} in {ASKED} matches any run of bytes, and stands for it in {ANSWER}; nothing after {=>} = no answer; the first rule that matches counts, after {HOLDFAST_CLIENT_APP_PONG}; with it permessage-deflate is not offered to the upstream" file:"a file that holds the rules instead, one a line"`
	UpstreamAppPing         appPing           `env:"HOLDFAST_UPSTREAM_APP_PING" meaning:"like {HOLDFAST_CLIENT_APP_PING}, for the upstream: for a service that ends sessions without messages, while its clients' timers sleep" file:"a file that holds it instead; a newline at its end is not part of it"`
	UpstreamAppPingInterval time.Duration     `env:"HOLDFAST_UPSTREAM_APP_PING_INTERVAL" inherits:"HOLDFAST_UPSTREAM_PING_INTERVAL" meaning:"how often {HOLDFAST_UPSTREAM_APP_PING} is sent"`
	UpstreamAppPong         *proxy.AppPattern `env:"HOLDFAST_UPSTREAM_APP_PONG" meaning:"like {HOLDFAST_CLIENT_APP_PONG}, for the upstream and within {HOLDFAST_UPSTREAM_PING_TIMEOUT}; learnt per target: the deadline holds only for one that has ever answered" file:"a file that holds it instead; a newline at its end is not part of it"`
	UpstreamAppAnswer       appAnswers        `env:"HOLDFAST_UPSTREAM_APP_ANSWER" meaning:"like {HOLDFAST_CLIENT_APP_ANSWER}, for text messages of the upstream" file:"a file that holds the rules instead, one a line"`

	WriteTimeout       positive      `env:"HOLDFAST_WRITE_TIMEOUT" envDefault:"30s" meaning:"ends a session when bytes wait for a peer that takes none for so long"`
	CloseTimeout       positive      `env:"HOLDFAST_CLOSE_TIMEOUT" envDefault:"10s" meaning:"how long a close handshake may take"`
	IdleTimeout        time.Duration `env:"HOLDFAST_IDLE_TIMEOUT" envDefault:"0" meaning:"ends a session with no data frame either way for so long; {0} = never"`
	MaxSessionDuration time.Duration `env:"HOLDFAST_MAX_SESSION_DURATION" envDefault:"0" meaning:"ends a session of that age, with ±10 % jitter; {0} = never"`
	HandshakeTimeout   positive      `env:"HOLDFAST_HANDSHAKE_TIMEOUT" envDefault:"10s" meaning:"the client's PROXY protocol header, TLS handshake and request head, in total, not per byte"`

	UpstreamHandshakeTimeout positive `env:"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT" envDefault:"60s" meaning:"the upstream's answer to an upgrade, in total, not per byte: some services take long to accept a session"`

	HTTPTimeout    positive      `env:"HOLDFAST_HTTP_TIMEOUT" envDefault:"5m" meaning:"ends a request that is not an upgrade when it has made no progress, in either direction, for so long: silent long polls and event streams, paused uploads and downloads"`
	DialTimeout    positive      `env:"HOLDFAST_DIAL_TIMEOUT" envDefault:"5s" meaning:"name, TCP and TLS to an upstream, all targets tried together: each gets its share of what is left"`
	TCPUserTimeout time.Duration `env:"HOLDFAST_TCP_USER_TIMEOUT" meaning:"the kernel's own backstop for unacknowledged data, on both legs; unset = the longest of the ping timeouts, {HOLDFAST_WRITE_TIMEOUT}, {HOLDFAST_CLOSE_TIMEOUT} and {HOLDFAST_DIAL_TIMEOUT}, plus {10s}, at least {60s}; {0} = the kernel's default"`

	MaxSessions        int         `env:"HOLDFAST_MAX_SESSIONS" envDefault:"0" meaning:"{0} = what the file-descriptor limit allows; over it: 503 with {Retry-After}"`
	MaxSessionsPerIP   int         `env:"HOLDFAST_MAX_SESSIONS_PER_IP" envDefault:"0" meaning:"connections of one client address, or one IPv6 /64, whatever they are for; over it: 429; {0} = no limit"`
	MaxFrameSize       frameSize   `env:"HOLDFAST_MAX_FRAME_SIZE" envDefault:"0" meaning:"counted as sent, compressed or not; larger: Close 1009 to its sender; {0} = no limit"`
	MaxMessageSize     messageSize `env:"HOLDFAST_MAX_MESSAGE_SIZE" envDefault:"0" meaning:"the same for a message, which is all its frames together: the first frame that goes over it ends the session, at its header; less than {4096MiB}; each frame must keep to {HOLDFAST_MAX_FRAME_SIZE} too; {0} = no limit"`
	ClientMaxRate      frameRate   `env:"HOLDFAST_CLIENT_MAX_RATE" envDefault:"0" meaning:"how many frames a client may send in each of its sessions, control frames too: {200/s}, or {600/m} for a minute; one second's worth may come at once; over it the client is read more slowly, in pauses of at most one second, and nothing is dropped; {0} = no limit"`
	ClientMaxBytesRate byteRate    `env:"HOLDFAST_CLIENT_MAX_BYTES_RATE" envDefault:"0" meaning:"the same for bytes, like {1MiB/s}; {0} = no limit"`
	MaxHeaderSize      headerSize  `env:"HOLDFAST_MAX_HEADER_SIZE" envDefault:"32KiB" meaning:"{1KiB} to {1MiB}; a larger request head: 431"`

	AllowedOrigins originList    `env:"HOLDFAST_ALLOWED_ORIGINS" meaning:"the origins whose web pages may open sessions, a list: {https://app.example.com}, or {*.example.com} and {https://*.example.com} for one label more, not for {example.com} itself; those of others get 403; unset = all may"`
	TrustedProxies trusted       `env:"HOLDFAST_TRUSTED_PROXIES" meaning:"whose word on the client is believed, a list of addresses and CIDRs, and {unix:} for all who connect to a unix socket: their {Forwarded} and {X-Forwarded-*} are extended, those of others replaced"`
	ProxyProtocol  proxyProtocol `env:"HOLDFAST_PROXY_PROTOCOL" envDefault:"off" meaning:"{off}, or {accept}: a PROXY protocol header, version 1 or 2, begins each connection of a trusted proxy, and of no other client"`

	TLSCertFile           string     `env:"HOLDFAST_TLS_CERT_FILE" meaning:"with it clients are met with TLS: a PEM file of the certificate and those that lead to its root; TLS files are read again when they change, and on SIGHUP"`
	TLSKeyFile            string     `env:"HOLDFAST_TLS_KEY_FILE" meaning:"the certificate's private key"`
	TLSClientCAFile       string     `env:"HOLDFAST_TLS_CLIENT_CA_FILE" meaning:"with it only clients are let in whose certificate leads to one of these CAs"`
	UpstreamTLSCAFile     string     `env:"HOLDFAST_UPSTREAM_TLS_CA_FILE" meaning:"the CAs that the certificate of a {wss://} or {https://} upstream may lead to; unset = the system's"`
	UpstreamTLSCertFile   string     `env:"HOLDFAST_UPSTREAM_TLS_CERT_FILE" meaning:"the certificate that such an upstream is shown if it asks for one"`
	UpstreamTLSKeyFile    string     `env:"HOLDFAST_UPSTREAM_TLS_KEY_FILE" meaning:"that certificate's private key"`
	UpstreamTLSServerName serverName `env:"HOLDFAST_UPSTREAM_TLS_SERVER_NAME" meaning:"the name that the certificate of every such upstream must be for; unset = each upstream's own host"`
	UpstreamTLSInsecure   bool       `env:"HOLDFAST_UPSTREAM_TLS_INSECURE" envDefault:"false" meaning:"{true}: no such certificate is checked, and anyone on the network path can read and change everything; for tests"`

	UpstreamHost    upstreamHost       `env:"HOLDFAST_UPSTREAM_HOST" envDefault:"preserve" meaning:"the {Host} that the upstream is sent: the client's ({preserve}), each {upstream}'s own, or any other {host:port}"`
	UpstreamHeaders proxy.HeaderFields `env:"HOLDFAST_UPSTREAM_HEADERS" meaning:"fields that every request is sent on with, {name=value;name=value} (a secret); clients cannot send them" file:"a file that holds them instead, in one line; a newline at its end is not part of it" secret:"true"`
	Compression     compression        `env:"HOLDFAST_COMPRESSION" envDefault:"pass" meaning:"{pass}: permessage-deflate is between client and upstream; {off}: it is not offered to the upstream, for services whose compression is at fault"`
	HTTP            httpRefusal        `env:"HOLDFAST_HTTP" envDefault:"proxy" meaning:"requests that are not WebSocket upgrades: {proxy} to the upstream, or {refuse} with 426"`

	Balance        proxy.Balance `env:"HOLDFAST_BALANCE" envDefault:"least_sessions" meaning:"which of the targets that are up a request gets: {least_sessions} (of two drawn at random, the one with fewer) · {round_robin} · {hash:ip} (the same for the client's address, or its IPv6 /64, while the same targets are up) · {hash:header:NAME} and {hash:cookie:NAME} (the same for that field's or cookie's value; without it, for the client's address); upgrades and all other requests go by the same rule"`
	HealthInterval time.Duration `env:"HOLDFAST_HEALTH_INTERVAL" envDefault:"10s" meaning:"each target is connected to at the start, and whenever no client needed a connection to it for so long; with {HOLDFAST_HEALTH_PATH} at every interval; two such checks in a row that fail, or three connections for clients, make it down; {/readyz} is 503 while no target is up; {0} = only at the start and while it is down"`
	HealthPath     healthPath    `env:"HOLDFAST_HEALTH_PATH" meaning:"a check also asks for this path, as it stands here and without the path of {HOLDFAST_UPSTREAM} before it: the service must answer with a status of 2xx or 3xx; unset = a connection is enough"`
	SlowStart      time.Duration `env:"HOLDFAST_SLOW_START" envDefault:"30s" meaning:"over so long the share of new sessions of a target that was down grows from a tenth to the whole; {0} = its whole share at once"`

	DrainDelay   time.Duration `env:"HOLDFAST_DRAIN_DELAY" envDefault:"5s" meaning:"on SIGTERM: {/readyz} is 503 for so long, and clients are accepted as before, until the balancer has noticed"`
	DrainSpread  time.Duration `env:"HOLDFAST_DRAIN_SPREAD" envDefault:"20s" meaning:"then the listener closes, and each session is sent its Close at a moment of this time, so that the clients do not come back all at once"`
	DrainTimeout time.Duration `env:"HOLDFAST_DRAIN_TIMEOUT" envDefault:"30s" meaning:"what is left so long after that is cut, and the exit code is 1 if sessions were among it; a peer that only does not answer its Close is not waited for so long: see {HOLDFAST_CLOSE_TIMEOUT}"`

	CloseCodeTimeout      closeCode `env:"HOLDFAST_CLOSE_CODE_TIMEOUT" envDefault:"1011" meaning:"what a client is sent that missed its pong"`
	CloseCodeUpstreamLost closeCode `env:"HOLDFAST_CLOSE_CODE_UPSTREAM_LOST" envDefault:"1012" meaning:"what a client is sent whose upstream missed its pong, broke the protocol or went away"`
	CloseCodeDrain        closeCode `env:"HOLDFAST_CLOSE_CODE_DRAIN" envDefault:"1012" meaning:"what a client is sent whose session is idle or too old, or when Holdfast stops"`

	AdminToken adminToken `env:"HOLDFAST_ADMIN_TOKEN" meaning:"with which other hosts may send POSTs to the admin listener, and see sessions, ends and the configuration, in {Authorization: Bearer} (a secret): at least {16} bytes, of letters, digits and {-._~+/}, with {=} at the end alone; unset = only programs on this host may; metrics, health, the state and profiles are shown without it" file:"a file that holds it instead; a newline at its end is not part of it" secret:"true"`

	LogLevel  logLevel  `env:"HOLDFAST_LOG_LEVEL" envDefault:"info" meaning:"{debug} · {info} · {warn} · {error}"`
	LogFormat logFormat `env:"HOLDFAST_LOG_FORMAT" envDefault:"auto" meaning:"{auto} (text on a terminal, else JSON) · {text} · {json}"`
	PProf     bool      `env:"HOLDFAST_PPROF" envDefault:"false" meaning:"{true}: {/debug/pprof/} on the admin listener"`
}

// Load returns the checked configuration of environ with its TLS files, and every
// problem with them. The configuration must not be used unless found is empty.
func Load(environ []string) (c Config, loaded Certificates, found Problems) {
	s := readSettings(environ)
	c, found = s.config()
	if !slices.ContainsFunc(found, func(p Problem) bool { return p.Variable == upstreamName }) {
		found = append(found, c.loops(s, lookUp)...)
	}
	loaded, bad := c.certificates()
	found = append(found, bad...)
	found.sort()
	return c, loaded, found
}

// LogsText reports whether the log is text and not JSON. terminal says whether the log
// is written to a terminal.
func (c Config) LogsText(terminal bool) bool {
	return c.LogFormat == formatText || c.LogFormat == formatAuto && terminal
}

// config checks everything that is set and reports every problem. A field whose value
// was refused stays zero.
func (s settings) config() (c Config, found Problems) {
	found = s.parse(&c)
	if s[userTimeoutName] == "" {
		c.TCPUserTimeout = c.defaultUserTimeout()
	}
	found = append(found, c.contradictions(s)...)
	if s[upstreamName] == "" {
		found = append(found, Problem{Variable: upstreamName, Reason: noUpstream})
	}
	found = append(found, s.strangers()...)
	found.sort()
	return c, found
}

// parse fills c and returns the values that break the rule of their type. If a variable
// takes its value from another one, only that other one is reported.
func (s settings) parse(c *Config) (found Problems) {
	given, from := map[string]string{}, map[string]string{}
	for _, v := range variables {
		var bad Problems
		given[v.name], from[v.name], bad = s.reveal(v)
		found = append(found, bad...)
		bare, reason := unwrap(v, given[v.name])
		given[v.name] = bare
		switch {
		case reason == "":
		case from[v.name] == v.name:
			found = append(found, Problem{v.name, s.shown(v.name), reason + v.orEscape()})
		case from[v.name] == v.name+fileSuffix:
			found = append(found, Problem{from[v.name], s[from[v.name]], inFile(reason) + v.orEscape()})
		}
	}
	err := env.ParseWithOptions(c, env.Options{Environment: given, FuncMap: maps.Clone(parsers)})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return found
	}
	for _, err := range all.Errors {
		var bad env.ParseError
		if !errors.As(err, &bad) {
			panic(err) // the struct is at fault, not what the user wrote
		}
		name := variableOf(bad.Name).name
		if giver := from[name]; giver == name || giver == name+fileSuffix {
			for _, reason := range reasons(bad.Err) {
				text := reason.Error()
				if rule, ok := errors.AsType[*proxy.AppRuleError](reason); ok && giver != name {
					text = rule.WithoutRule()
				}
				found = append(found, Problem{giver, s.shown(giver), text})
			}
		}
	}
	return found
}

// reasons returns the errors that a rule has joined, or none if err is nil.
func reasons(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
