// Package config is the configuration of Holdfast, which environment variables alone
// make.
//
// The path through it: Load keeps what is set under our prefix (settings), fills
// Config with it by the rules of its fields' types (values.go and others), looks for
// values that contradict each other (contradictions.go) and for names that do not
// exist, and loads the TLS files (certificates.go). Every problem is reported, each
// with its variable and what to write instead (problems.go). Config.Proxy says it all
// to the proxy. Describe is for those who want to see the configuration, and the
// Formats print it (print.go).
//
// The environment is an argument: only main asks for that of the process.
package config

import (
	"errors"
	"maps"
	"net/url"
	"reflect"
	"time"

	"github.com/caarlos0/env/v10"

	"holdfast/heartbeat"
	"holdfast/proxy"
)

// Config is the checked configuration. Names, defaults and meanings of its
// variables stand in the variables table, the rules of its types in parsers.
type Config struct {
	Upstream    *url.URL      `env:"HOLDFAST_UPSTREAM"`
	Listen      listenAddress `env:"HOLDFAST_LISTEN"`
	AdminListen adminAddress  `env:"HOLDFAST_ADMIN_LISTEN"`

	PingInterval         time.Duration      `env:"HOLDFAST_PING_INTERVAL"`
	PingTimeout          time.Duration      `env:"HOLDFAST_PING_TIMEOUT"`
	ClientPingInterval   time.Duration      `env:"HOLDFAST_CLIENT_PING_INTERVAL"`
	ClientPingTimeout    time.Duration      `env:"HOLDFAST_CLIENT_PING_TIMEOUT"`
	UpstreamPingInterval time.Duration      `env:"HOLDFAST_UPSTREAM_PING_INTERVAL"`
	UpstreamPingTimeout  time.Duration      `env:"HOLDFAST_UPSTREAM_PING_TIMEOUT"`
	PingJitter           fraction           `env:"HOLDFAST_PING_JITTER"`
	Liveness             heartbeat.Liveness `env:"HOLDFAST_LIVENESS"`
	ClientPong           heartbeat.PongMode `env:"HOLDFAST_CLIENT_PONG"`
	UpstreamPong         heartbeat.PongMode `env:"HOLDFAST_UPSTREAM_PONG"`
	PeerPings            proxy.PeerPings    `env:"HOLDFAST_PEER_PINGS"`

	WriteTimeout       positive      `env:"HOLDFAST_WRITE_TIMEOUT"`
	CloseTimeout       positive      `env:"HOLDFAST_CLOSE_TIMEOUT"`
	IdleTimeout        time.Duration `env:"HOLDFAST_IDLE_TIMEOUT"`
	MaxSessionDuration time.Duration `env:"HOLDFAST_MAX_SESSION_DURATION"`
	HandshakeTimeout   positive      `env:"HOLDFAST_HANDSHAKE_TIMEOUT"`
	DialTimeout        positive      `env:"HOLDFAST_DIAL_TIMEOUT"`
	TCPUserTimeout     time.Duration `env:"HOLDFAST_TCP_USER_TIMEOUT"`

	MaxSessions      int        `env:"HOLDFAST_MAX_SESSIONS"`
	MaxSessionsPerIP int        `env:"HOLDFAST_MAX_SESSIONS_PER_IP"`
	MaxFrameSize     frameSize  `env:"HOLDFAST_MAX_FRAME_SIZE"`
	MaxHeaderSize    headerSize `env:"HOLDFAST_MAX_HEADER_SIZE"`

	AllowedOrigins originList    `env:"HOLDFAST_ALLOWED_ORIGINS"`
	TrustedProxies trusted       `env:"HOLDFAST_TRUSTED_PROXIES"`
	ProxyProtocol  proxyProtocol `env:"HOLDFAST_PROXY_PROTOCOL"`

	TLSCertFile           string     `env:"HOLDFAST_TLS_CERT_FILE"`
	TLSKeyFile            string     `env:"HOLDFAST_TLS_KEY_FILE"`
	TLSClientCAFile       string     `env:"HOLDFAST_TLS_CLIENT_CA_FILE"`
	UpstreamTLSCAFile     string     `env:"HOLDFAST_UPSTREAM_TLS_CA_FILE"`
	UpstreamTLSCertFile   string     `env:"HOLDFAST_UPSTREAM_TLS_CERT_FILE"`
	UpstreamTLSKeyFile    string     `env:"HOLDFAST_UPSTREAM_TLS_KEY_FILE"`
	UpstreamTLSServerName serverName `env:"HOLDFAST_UPSTREAM_TLS_SERVER_NAME"`
	UpstreamTLSInsecure   bool       `env:"HOLDFAST_UPSTREAM_TLS_INSECURE"`

	UpstreamHost    upstreamHost `env:"HOLDFAST_UPSTREAM_HOST"`
	UpstreamHeaders headerFields `env:"HOLDFAST_UPSTREAM_HEADERS"`
	HTTP            httpRefusal  `env:"HOLDFAST_HTTP"`

	CloseCodeTimeout      closeCode `env:"HOLDFAST_CLOSE_CODE_TIMEOUT"`
	CloseCodeUpstreamLost closeCode `env:"HOLDFAST_CLOSE_CODE_UPSTREAM_LOST"`
	CloseCodeDrain        closeCode `env:"HOLDFAST_CLOSE_CODE_DRAIN"`

	LogLevel  logLevel  `env:"HOLDFAST_LOG_LEVEL"`
	LogFormat logFormat `env:"HOLDFAST_LOG_FORMAT"`
	PProf     bool      `env:"HOLDFAST_PPROF"`
}

// Load returns the checked configuration of environ with its TLS files, and every
// problem with them. If there is any, the configuration must not be used.
func Load(environ []string) (c Config, loaded Certificates, found Problems) {
	c, found = readSettings(environ).config()
	loaded, bad := c.certificates()
	found = append(found, bad...)
	found.sort()
	return c, loaded, found
}

// LogsText reports whether the log is text and not JSON; terminal says what it is
// written to.
func (c Config) LogsText(terminal bool) bool {
	return c.LogFormat == formatText || c.LogFormat == formatAuto && terminal
}

// config checks everything that is set and reports all that is wrong with it. Of
// what is wrong c has nothing.
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

// parse fills c and says which values broke the rule of their type. A value
// taken from another variable is that one's fault.
func (s settings) parse(c *Config) (found Problems) {
	given, from := map[string]string{}, map[string]string{}
	for _, v := range variables {
		given[v.name], from[v.name] = s.effective(v)
	}
	for _, name := range secrets {
		var bad Problems
		given[name], from[name], bad = s.reveal(name)
		found = append(found, bad...)
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
		name := variableOf(bad.Name)
		if giver := from[name]; giver == name || giver == name+fileSuffix {
			found = append(found, Problem{giver, s.shown(giver), bad.Err.Error()})
		}
	}
	return found
}

// variableOf is the variable of a field of config: the parser's errors know only the field.
func variableOf(field string) string {
	f, _ := reflect.TypeFor[Config]().FieldByName(field)
	return f.Tag.Get("env")
}
