package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/shown"
	"holdfast/proxy"
)

const someUpstream = "HOLDFAST_UPSTREAM=ws://localhost:9000"

func load(environ ...string) (Config, error) {
	c, found := readSettings(environ).config()
	if len(found) > 0 {
		return c, found
	}
	return c, nil
}

func mustLoad(t *testing.T, environ ...string) Config {
	t.Helper()
	c, err := load(environ...)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	got := mustLoad(t, someUpstream)
	if got.Upstreams.String() != "ws://localhost:9000" {
		t.Errorf("Upstreams = %v", got.Upstreams)
	}
	got.Upstreams = nil
	want := Config{
		Listen:               ":8080",
		AdminListen:          "127.0.0.1:8081",
		PingInterval:         20 * time.Second,
		PingTimeout:          20 * time.Second,
		ClientPingInterval:   20 * time.Second,
		ClientPingTimeout:    20 * time.Second,
		UpstreamPingInterval: 20 * time.Second,
		UpstreamPingTimeout:  20 * time.Second,
		PingJitter:           0.1,
		Liveness:             heartbeat.AnyByte,
		ClientPong:           heartbeat.RequirePong,
		UpstreamPong:         heartbeat.LearnPong,
		PeerPings:            proxy.AnswerPings,

		ClientAppPingInterval:   20 * time.Second,
		UpstreamAppPingInterval: 20 * time.Second,

		WriteTimeout:          positive(30 * time.Second),
		CloseTimeout:          positive(10 * time.Second),
		HandshakeTimeout:      positive(10 * time.Second),
		HTTPTimeout:           positive(5 * time.Minute),
		DialTimeout:           positive(5 * time.Second),
		HealthInterval:        10 * time.Second,
		SlowStart:             30 * time.Second,
		DrainDelay:            5 * time.Second,
		DrainSpread:           20 * time.Second,
		DrainTimeout:          30 * time.Second,
		TCPUserTimeout:        time.Minute,
		MaxHeaderSize:         32 << 10,
		UpstreamHost:          hostPreserve,
		CloseCodeTimeout:      1011,
		CloseCodeUpstreamLost: 1012,
		CloseCodeDrain:        1012,
		LogLevel:              logLevel(slog.LevelInfo),
		LogFormat:             formatAuto,

		UpstreamHandshakeTimeout: positive(time.Minute),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// accepted are values of every variable, by variable, with what becomes of them.
var accepted = map[string][]struct {
	value string
	want  any
}{
	"HOLDFAST_UPSTREAM": {
		{"ws://localhost:9000", "ws://localhost:9000"},
		{"http://legacy", "http://legacy"},
		{"WS://legacy_app.internal:80/chat/v1", "ws://legacy_app.internal:80/chat/v1"},
		{"ws://[::1]:9000", "ws://[::1]:9000"},
		{"ws://[fe80::1%25eth0]:9000", "ws://[fe80::1%25eth0]:9000"},
		{"ws://10.0.0.1/a%2Cb/@me", "ws://10.0.0.1/a%2Cb/@me"},
		{"wss://legacy", "wss://legacy"},
		{"https://legacy:8443/app", "https://legacy:8443/app"},
		{"unix:/run/app.sock", "unix:/run/app.sock"},
		{"unix:///run/app.sock", "unix:/run/app.sock"},
		{"unix:/run/app?x.sock", "unix:/run/app?x.sock"},
		{"ws://a:9000, ws://b:9000 ,wss://c", "ws://a:9000,ws://b:9000,wss://c"},
		{"ws://a/x,http://b:80/x", "ws://a/x,http://b:80/x"},
		{"unix:/run/a.sock,unix:/run/b.sock,ws://a,ws://b/", "unix:/run/a.sock,unix:/run/b.sock,ws://a,ws://b/"},
		{"ws://a,ws://a:81", "ws://a,ws://a:81"},
		{"ws://a/x;ws://b", "ws://a/x;ws://b"}, // a path
	},
	"HOLDFAST_LISTEN": {
		{":80", listenAddress(":80")}, {"127.0.0.1:0", listenAddress("127.0.0.1:0")},
		{"[::1]:65535", listenAddress("[::1]:65535")}, {"edge-1.example:8080", listenAddress("edge-1.example:8080")},
		{"unix:/run/holdfast.sock", listenAddress("unix:/run/holdfast.sock")},
		{"unix:///run/holdfast.sock", listenAddress("unix:/run/holdfast.sock")},
		{"unix:/run/holdfast.sock?mode=0660", listenAddress("unix:/run/holdfast.sock?mode=0660")},
		{"unix:///run/holdfast.sock?mode=777", listenAddress("unix:/run/holdfast.sock?mode=777")},
		{"systemd:holdfast web", listenAddress("systemd:holdfast web")},
	},
	"HOLDFAST_ADMIN_LISTEN":           {{"off", adminAddress("")}, {":9100", adminAddress(":9100")}},
	"HOLDFAST_PING_INTERVAL":          {{"0", time.Duration(0)}, {"0s", time.Duration(0)}, {"1m30s", 90 * time.Second}, {"1ms", time.Millisecond}, {"8760h", 8760 * time.Hour}},
	"HOLDFAST_PING_TIMEOUT":           {{"0", time.Duration(0)}, {"2.5s", 2500 * time.Millisecond}},
	"HOLDFAST_CLIENT_PING_INTERVAL":   {{"5s", 5 * time.Second}},
	"HOLDFAST_CLIENT_PING_TIMEOUT":    {{"5s", 5 * time.Second}},
	"HOLDFAST_UPSTREAM_PING_INTERVAL": {{"0", time.Duration(0)}},
	"HOLDFAST_UPSTREAM_PING_TIMEOUT":  {{"5s", 5 * time.Second}},
	"HOLDFAST_PING_JITTER":            {{"0", fraction(0)}, {"1", fraction(1)}, {".25", fraction(.25)}},
	"HOLDFAST_LIVENESS":               {{"any", heartbeat.AnyByte}, {"pong", heartbeat.OnlyPong}},
	"HOLDFAST_CLIENT_PONG":            {{"require", heartbeat.RequirePong}, {"auto", heartbeat.LearnPong}, {"ignore", heartbeat.IgnorePong}},
	"HOLDFAST_UPSTREAM_PONG":          {{"require", heartbeat.RequirePong}, {"auto", heartbeat.LearnPong}, {"ignore", heartbeat.IgnorePong}},
	"HOLDFAST_PEER_PINGS":             {{"answer", proxy.AnswerPings}, {"forward", proxy.ForwardPings}},
	"HOLDFAST_WRITE_TIMEOUT":          {{"1s", positive(time.Second)}},
	"HOLDFAST_CLOSE_TIMEOUT":          {{"1s", positive(time.Second)}},
	"HOLDFAST_IDLE_TIMEOUT":           {{"0", time.Duration(0)}, {"1h", time.Hour}},
	"HOLDFAST_MAX_SESSION_DURATION":   {{"0", time.Duration(0)}, {"24h", 24 * time.Hour}},
	"HOLDFAST_HANDSHAKE_TIMEOUT":      {{"500ms", positive(500 * time.Millisecond)}},
	"HOLDFAST_HTTP_TIMEOUT":           {{"1h", positive(time.Hour)}},
	"HOLDFAST_DIAL_TIMEOUT":           {{"1s", positive(time.Second)}},
	"HOLDFAST_TCP_USER_TIMEOUT":       {{"0", time.Duration(0)}, {"596h", 596 * time.Hour}},
	"HOLDFAST_MAX_SESSIONS":           {{"0", 0}, {"2147483647", 1<<31 - 1}},
	"HOLDFAST_MAX_SESSIONS_PER_IP":    {{"0", 0}, {"20", 20}},
	"HOLDFAST_MAX_FRAME_SIZE":         {{"0", frameSize(0)}, {"1", frameSize(1)}, {"16MiB", frameSize(16 << 20)}, {"9223372036854775807", frameSize(1<<63 - 1)}},
	"HOLDFAST_MAX_MESSAGE_SIZE":       {{"0", messageSize(0)}, {"1", messageSize(1)}, {"4095MiB", messageSize(4095 << 20)}, {"4294967295", messageSize(1<<32 - 1)}},
	"HOLDFAST_CLIENT_MAX_RATE":        {{"0", frameRate(0)}, {"1/s", frameRate(1)}, {"200/s", frameRate(200)}, {"600/m", frameRate(10)}, {"90/m", frameRate(1.5)}, {"2147483647/s", frameRate(1<<31 - 1)}},
	"HOLDFAST_CLIENT_MAX_BYTES_RATE":  {{"0", byteRate(0)}, {"1/s", byteRate(1)}, {"1MiB/s", byteRate(1 << 20)}, {"60KiB/m", byteRate(1 << 10)}},
	"HOLDFAST_MAX_HEADER_SIZE":        {{"1KiB", headerSize(1 << 10)}, {"1MiB", headerSize(1 << 20)}, {"5000", headerSize(5000)}},

	"HOLDFAST_CLIENT_APP_PING": {
		{`{"type":"ping"}`, appPing(`{"type":"ping"}`)}, {`\n`, appPing("\n")}, {`a\x20b;;c=>d\*`, appPing("a b;;c=>d*")}, {`\x22ping\x22`, appPing(`"ping"`)},
	},
	"HOLDFAST_CLIENT_APP_PING_INTERVAL":   {{"5s", 5 * time.Second}},
	"HOLDFAST_CLIENT_APP_PONG":            {{`{"type":"pong","id":*}`, appPong(`{"type":"pong","id":*}`)}, {`\n`, appPong(`\n`)}},
	"HOLDFAST_CLIENT_APP_ANSWER":          {{"2*=>3*", answers("2*=>3*")}, {"\na=>b\nc=>d\n", answers("a=>b;;c=>d")}, {`"a"=>"b";;"c"=>"d"`, answers(`"a"=>"b";;"c"=>"d"`)}},
	"HOLDFAST_UPSTREAM_APP_PING":          {{"ping", appPing("ping")}},
	"HOLDFAST_UPSTREAM_APP_PING_INTERVAL": {{"1h", time.Hour}},
	"HOLDFAST_UPSTREAM_APP_PONG":          {{"pong", appPong("pong")}},
	"HOLDFAST_UPSTREAM_APP_ANSWER":        {{"ping=>pong;;hello=>", answers("ping=>pong\nhello=>")}},

	"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT": {{"5m", positive(5 * time.Minute)}},

	"HOLDFAST_ALLOWED_ORIGINS": {
		{"https://app.example.com", origins("https://app.example.com")},
		{" *.example.com , http://localhost:3000 ", origins("*.example.com", "http://localhost:3000")},
	},
	"HOLDFAST_TRUSTED_PROXIES": {
		{"unix:", trusted{unix: true}},
		{"192.0.2.1", trusted{prefixes: prefixes("192.0.2.1/32")}},
		{"10.0.0.0/8, ::1 ,unix:,2001:db8::/32", trusted{prefixes: prefixes("10.0.0.0/8", "::1/128", "2001:db8::/32"), unix: true}},
		{"0.0.0.0/0,::/0", trusted{prefixes: prefixes("0.0.0.0/0", "::/0")}},
		{"::ffff:10.0.0.0/104,::ffff:192.0.2.1", trusted{prefixes: prefixes("10.0.0.0/8", "192.0.2.1/32")}},
	},
	"HOLDFAST_PROXY_PROTOCOL":           {{"off", proxyProtocol(false)}, {"accept", proxyProtocol(true)}},
	"HOLDFAST_TLS_CERT_FILE":            {{"/run/tls.crt", "/run/tls.crt"}},
	"HOLDFAST_TLS_KEY_FILE":             {{"tls/tls key", "tls/tls key"}},
	"HOLDFAST_TLS_CLIENT_CA_FILE":       {{"/run/ca.crt", "/run/ca.crt"}},
	"HOLDFAST_UPSTREAM_TLS_CA_FILE":     {{"/run/ca.crt", "/run/ca.crt"}},
	"HOLDFAST_UPSTREAM_TLS_CERT_FILE":   {{"/run/tls.crt", "/run/tls.crt"}},
	"HOLDFAST_UPSTREAM_TLS_KEY_FILE":    {{"/run/tls.key", "/run/tls.key"}},
	"HOLDFAST_UPSTREAM_TLS_SERVER_NAME": {{"legacy_app.internal", serverName("legacy_app.internal")}, {"192.0.2.1", serverName("192.0.2.1")}, {"::1", serverName("::1")}},
	"HOLDFAST_UPSTREAM_TLS_INSECURE":    {{"true", true}, {"false", false}},
	"HOLDFAST_UPSTREAM_HOST": {
		{"preserve", hostPreserve}, {"upstream", hostUpstream}, {"service.example", upstreamHost("service.example")},
		{"legacy_app:8080", upstreamHost("legacy_app:8080")}, {"[::1]", upstreamHost("[::1]")}, {"[2001:db8::1]:80", upstreamHost("[2001:db8::1]:80")},
	},
	"HOLDFAST_UPSTREAM_HEADERS": {
		{"Authorization=Basic dTpw==", proxy.HeaderFields{{Name: "Authorization", Value: "Basic dTpw=="}}},
		{" X-One = 1, 2 ; X_Two=\tü; Origin=", proxy.HeaderFields{{Name: "X-One", Value: "1, 2"}, {Name: "X_Two", Value: "ü"}, {Name: "Origin"}}},
	},
	"HOLDFAST_COMPRESSION": {{"pass", compression(false)}, {"off", compression(true)}},
	"HOLDFAST_HTTP":        {{"proxy", httpRefusal(false)}, {"refuse", httpRefusal(true)}},
	"HOLDFAST_BALANCE": {
		{"least_sessions", proxy.Balance{By: proxy.LeastSessions}}, {"round_robin", proxy.Balance{By: proxy.RoundRobin}}, {"hash:ip", proxy.Balance{By: proxy.HashIP}},
		{"hash:header:X-User", proxy.Balance{By: proxy.HashHeader, Name: "X-User"}}, {"hash:cookie:io", proxy.Balance{By: proxy.HashCookie, Name: "io"}},
	},
	"HOLDFAST_SLOW_START":               {{"0", time.Duration(0)}, {"5m", 5 * time.Minute}},
	"HOLDFAST_ADMIN_TOKEN":              {{"0123456789abcdef", adminToken("0123456789abcdef")}, {"AZaz09-._~+/xxx==", adminToken("AZaz09-._~+/xxx==")}},
	"HOLDFAST_HEALTH_INTERVAL":          {{"0", time.Duration(0)}, {"1s", time.Second}},
	"HOLDFAST_DRAIN_DELAY":              {{"0", time.Duration(0)}, {"1s", time.Second}},
	"HOLDFAST_DRAIN_SPREAD":             {{"0", time.Duration(0)}, {"10m", 10 * time.Minute}},
	"HOLDFAST_DRAIN_TIMEOUT":            {{"0", time.Duration(0)}, {"1m", time.Minute}},
	"HOLDFAST_HEALTH_PATH":              {{"/", healthPath("/")}, {"/up?full=1&x=%20", healthPath("/up?full=1&x=%20")}},
	"HOLDFAST_CLOSE_CODE_TIMEOUT":       {{"1000", closeCode(1000)}, {"1003", closeCode(1003)}, {"1007", closeCode(1007)}, {"1014", closeCode(1014)}},
	"HOLDFAST_CLOSE_CODE_UPSTREAM_LOST": {{"3000", closeCode(3000)}, {"4999", closeCode(4999)}},
	"HOLDFAST_CLOSE_CODE_DRAIN":         {{"1001", closeCode(1001)}},
	"HOLDFAST_LOG_LEVEL":                {{"debug", logLevel(slog.LevelDebug)}, {"info", logLevel(slog.LevelInfo)}, {"warn", logLevel(slog.LevelWarn)}, {"error", logLevel(slog.LevelError)}},
	"HOLDFAST_LOG_FORMAT":               {{"auto", formatAuto}, {"text", formatText}, {"json", formatJSON}},
	"HOLDFAST_PPROF":                    {{"true", true}, {"false", false}},
}

// companions are what some variables make sense with alone.
var companions = map[string][]string{
	"HOLDFAST_CLIENT_APP_PING_INTERVAL":   {"HOLDFAST_CLIENT_APP_PING=ping"},
	"HOLDFAST_CLIENT_APP_PONG":            {"HOLDFAST_CLIENT_APP_PING=ping"},
	"HOLDFAST_UPSTREAM_APP_PING_INTERVAL": {"HOLDFAST_UPSTREAM_APP_PING=ping"},
	"HOLDFAST_UPSTREAM_APP_PONG":          {"HOLDFAST_UPSTREAM_APP_PING=ping"},

	"HOLDFAST_PROXY_PROTOCOL":           {"HOLDFAST_TRUSTED_PROXIES=10.0.0.0/8"},
	"HOLDFAST_TLS_CLIENT_CA_FILE":       {"HOLDFAST_TLS_CERT_FILE=tls.crt"},
	"HOLDFAST_UPSTREAM_TLS_CA_FILE":     {"HOLDFAST_UPSTREAM=wss://localhost"},
	"HOLDFAST_UPSTREAM_TLS_CERT_FILE":   {"HOLDFAST_UPSTREAM=wss://localhost"},
	"HOLDFAST_UPSTREAM_TLS_KEY_FILE":    {"HOLDFAST_UPSTREAM=https://localhost"},
	"HOLDFAST_UPSTREAM_TLS_SERVER_NAME": {"HOLDFAST_UPSTREAM=https://localhost"},
	"HOLDFAST_UPSTREAM_TLS_INSECURE":    {"HOLDFAST_UPSTREAM=https://localhost"},
}

func origins(patterns ...string) (all originList) {
	for _, pattern := range patterns {
		p, err := proxy.ParseOrigin(pattern)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
}

func appPong(text string) *proxy.AppPattern {
	p, err := proxy.ParseAppPong(text)
	if err != nil {
		panic(err)
	}
	return &p
}

func answers(rules string) appAnswers {
	all, err := proxy.ParseAppAnswers(rules)
	if err != nil {
		panic(err)
	}
	return all
}

func prefixes(cidrs ...string) (all []netip.Prefix) {
	for _, cidr := range cidrs {
		all = append(all, netip.MustParsePrefix(cidr))
	}
	return all
}

func TestAccepted(t *testing.T) {
	for _, v := range variables {
		if isFileOfValue(v.name) {
			continue // see TestSecretFiles and TestFilesOfTexts
		}
		if len(accepted[v.name]) == 0 {
			t.Errorf("%s has no accepted value here", v.name)
		}
		for _, tc := range accepted[v.name] {
			environ := append([]string{someUpstream}, companions[v.name]...)
			got := field(mustLoad(t, append(environ, v.name+"="+tc.value)...), v.name)
			if u, ok := got.(interface{ String() string }); ok && v.name == upstreamName {
				got = u.String()
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%s=%q: got %v, want %v", v.name, tc.value, got, tc.want)
			}
		}
	}
}

func isFileOfValue(name string) bool {
	owner, isFile := strings.CutSuffix(name, fileSuffix)
	return isFile && slices.ContainsFunc(variables, func(v variable) bool { return v.hasFile && v.name == owner })
}

// field is the value of a variable's field in c.
func field(c Config, variable string) any {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if f.Tag.Get("env") == variable {
			return reflect.ValueOf(c).FieldByIndex(f.Index).Interface()
		}
	}
	return nil
}

const (
	noURL       = `is not a URL; write for example "ws://localhost:9000"`
	noHost      = `has no valid host, which is an ASCII host name or an IP address; write for example "ws://localhost:9000"`
	noDuration  = "is not a duration; " + durationExample
	notPositive = "must be more than zero"
	noSize      = `is not a size; write a whole number of bytes, or one with KiB or MiB, like "64KiB"`
	noCloseCode = "is not a close code that may be sent; use one of 1000-1003, 1007-1014, 3000-4999"
	noScheme    = "has an unknown scheme; use ws://, wss://, http://, https:// or unix:/path"
	noPath      = `has no absolute path; write for example "unix:/run/app.sock"`
	noTLS       = "has no effect on an upstream without TLS; unset it, or write wss:// or https:// in HOLDFAST_UPSTREAM"
	noPrefix    = `is neither an address nor a CIDR nor unix:; write for example "192.0.2.1" or "10.0.0.0/8"`
	noUpHost    = `must be preserve, upstream, or a host like "service.example" or "service.example:8080"`
	noName      = "must be a host name or an IP address, without scheme, brackets and port"
	fewBytes    = "has fewer than 16 bytes, and could be guessed; write one at random, like that of `openssl rand -hex 32`"
	noToken     = "has characters that Authorization: Bearer does not take; use letters, digits and -._~+/, with = at the end alone"
	noArrow     = "has no =>; write ASKED=>ANSWER"
	noAddress   = `is not host:port; write for example ":8080", "127.0.0.1:8080" or "[::1]:8080"`
)

// refused are values of every variable, by variable, with the reason given.
var refused = map[string][]struct{ value, reason string }{
	"HOLDFAST_UPSTREAM": {
		{"localhost:9000", `has no scheme; write "ws://localhost:9000"`},
		{"localhost", `has no scheme; write "ws://localhost"`},
		{"10.0.0.1:9000/chat", `has no scheme; write "ws://10.0.0.1:9000/chat"`},
		{"//localhost", `has no scheme; write "ws://localhost"`},
		{"unix:run/app.sock", noPath},
		{"unix:", noPath},
		{"unix:/run/", "is a directory; name a socket in it"},
		{"ws://a,", `has an element "" that is empty; write for example "ws://localhost:9000", or leave its comma out`},
		{"ws://a,b:9000", `has an element "b:9000" that has no scheme; write "ws://b:9000"`},
		{"ws://a/x,y", `has an element "y" that has no scheme; write "ws://y"; a comma in a path is written %2C`},
		{"ws://a,ws://a", `has an element "ws://a" twice; leave one out`},
		{"ws://a,http://A:80/", `has an element "http://A:80/" that is at the same address as "ws://a"; leave one out`},
		{"ws://a:443,wss://a", `has an element "wss://a" that is at the same address as "ws://a:443"; leave one out`},
		{"ws://[::1]:1,ws://[0:0::1]:01", `has an element "ws://[0:0::1]:01" that is at the same address as "ws://[::1]:1"; leave one out`},
		{"ws://192.0.2.1,ws://[::ffff:192.0.2.1]", `has an element "ws://[::ffff:192.0.2.1]" that is at the same address as "ws://192.0.2.1"; leave one out`},
		{"unix:/run/a.sock,unix:/run//a.sock", `has an element "unix:/run//a.sock" that is at the same address as "unix:/run/a.sock"; leave one out`},
		{"ws://a/x,ws://b", `has an element "ws://b" that has another path than "ws://a/x"; write the same path for all, since any of them may get a request`},
		{"ws://a/x,ws://b/x/", `has an element "ws://b/x/" that has another path than "ws://a/x"; write the same path for all, since any of them may get a request`},
		{"ws://a/x,unix:/b.sock", `has an element "unix:/b.sock", which puts no path before requests, beside "ws://a/x", which has one; leave that path out, since it must be the same for all`},
		{"unix:/b.sock,ws://a/x", `has an element "unix:/b.sock", which puts no path before requests, beside "ws://a/x", which has one; leave that path out, since it must be the same for all`},
		{"ws://a:1 ws://b:2", `has no commas between its elements; write "ws://a:1,ws://b:2"`},
		{"ws://a:1 ws://a:1", `has an element more than once; write "ws://a:1"`},
		{"ws://a; unix:/run/b.sock", `has no commas between its elements; write "ws://a,unix:/run/b.sock"`},
		{"ws://service.example,ws://localhost:8080", `has an element "ws://localhost:8080" that leads back to this proxy, which listens on HOLDFAST_LISTEN=:8080; name the service behind the proxy, or change that address`},
		{"tcp://localhost:9000", noScheme},
		{"ws://", `has no host; write for example "ws://localhost:9000"`},
		{"ws://:7000/a", `has no host; write "ws://localhost:7000/a"`},
		{"ws://:70000", `has no host; write for example "ws://localhost:9000"`},
		{"9000", `has no scheme; write "ws://localhost:9000"`},
		{":9000/chat", `has no scheme; write "ws://localhost:9000/chat"`},
		{"99999", `has no scheme; write for example "ws://localhost:9000"`},
		{"ws://7000/a", `has no valid host, which is an ASCII host name or an IP address; write "ws://localhost:7000/a"`},
		{"ws://10.0.0.256:7000", noHost},
		{"ws:localhost:7000", `has no "://" behind its scheme; write "ws://localhost:7000"`},
		{"WSS:/localhost", `has no "://" behind its scheme; write "wss://localhost"`},
		{"https//localhost/a", `has no "://" behind its scheme; write "https://localhost/a"`},
		{"http:", `has no "://" behind its scheme; write for example "ws://localhost:9000"`},
		{"tcp:localhost:9000", `has no scheme; write for example "ws://localhost:9000"`},
		{"::1", `has no scheme; write "ws://[::1]"`},
		{"::1:7000", `has no scheme; write "ws://[::1]:7000"`},
		{"2001:db8::1:7000/a", `has no scheme; write "ws://[2001:db8::1]:7000/a"`},
		{"ws://::1:7000", `has an IPv6 address without brackets; write "ws://[::1]:7000"`},
		{"ws://2001:db8::1", `has an IPv6 address without brackets; write "ws://[2001:db8::1]"`},
		{"ws://a:b:7000", noHost},
		{"ws://a..b:7000", noHost},
		{"ws://localhost:8080", "leads back to this proxy, which listens on HOLDFAST_LISTEN=:8080; name the service behind the proxy, or change that address"},
		{"ws://localhost:", "has no valid port; it must be a number from 1 to 65535"},
		{"ws://localhost:0", "has no valid port; it must be a number from 1 to 65535"},
		{"ws://localhost:65536", "has no valid port; it must be a number from 1 to 65535"},
		{"ws://localhost:port", noURL},
		{"ws://local host", noURL},
		{"ws://localhost/%zz", noURL},
		{"ws://bücher.example", noHost},
		{"ws://[::1%25é]", noHost},
		{"ws://a%22b", noURL},
	},
	"HOLDFAST_LISTEN": {
		{"unix:holdfast.sock", noPath},
		{"unix:///", "is a directory; name a socket in it"},
		{"systemd:", `has no name; write the FileDescriptorName of the socket unit, like "systemd:web"`},
		{"systemd:a:b", "has no valid name; systemd's are of up to 255 printable ASCII characters, none of them a colon"},
		{"systemd:bücher", "has no valid name; systemd's are of up to 255 printable ASCII characters, none of them a colon"},
		{"off", `cannot be switched off, since clients need an address; write for example ":8080"`},
		{"8080", `has no colon; write ":8080"`},
		{"80800", noAddress},
		{"::1:8080", `has an IPv6 address without brackets; write "[::1]:8080"`},
		{"localhost", `has no port; write "localhost:PORT"`},
		{"::1", `has no port; write "[::1]:PORT"`},
		{"http://localhost:8080", `is not host:port; leave out scheme and path, like ":8080", "127.0.0.1:8080" or "[::1]:8080"`},
		{"a b:8080", noAddress},
		{"8080:8080", noAddress},
		{"10.0.0.256:8080", noAddress},
		{"[localhost]:8080", noAddress},
		{"a..b:8080", noAddress},
		{"a:b:8080", noAddress},
		{":", "has no valid port; it must be a number from 0 to 65535"},
		{":http", "has no valid port; it must be a number from 0 to 65535"},
		{":65536", "has no valid port; it must be a number from 0 to 65535"},
	},
	"HOLDFAST_ADMIN_LISTEN": {
		{"Off", `must be host:port or off; write "off"`},
		{"none", `must be host:port or off; write "off"`},
		{"false", `must be host:port or off; write "off"`},
		{"0", `must be host:port or off; write "off"`},
		{"8081", `has no colon; write "127.0.0.1:8081"`}, // and not ":8081", which is open to the world
		{"a b:8081", `is not host:port; write for example "127.0.0.1:8081" or "[::1]:8081"`},
		{"http://localhost", `is not host:port; leave out scheme and path, like "127.0.0.1:8081" or "[::1]:8081"`},
		{"::1:8081", `has an IPv6 address without brackets; write "[::1]:8081"`},
		{":8080", "is the same address as HOLDFAST_LISTEN=:8080; give each its own port"},
		{"127.0.0.1:8080", "is the same address as HOLDFAST_LISTEN=:8080; give each its own port"},
		{"unix:/run/admin.sock", "must be host:port or off; other sockets are for HOLDFAST_LISTEN alone"},
		{"systemd:admin", "must be host:port or off; other sockets are for HOLDFAST_LISTEN alone"},
	},
	"HOLDFAST_PING_INTERVAL": {
		{"20", `has no unit; write "20s"`},
		{"0.5", `has no unit; write "0.5s"`},
		{"0.0005", "has no unit; " + durationExample},
		{"99999999999999999999", "has no unit; " + durationExample},
		{"-20s", "must not be negative"},
		{"20 s", `is not a duration; write "20s"`},
		{"20S", `is not a duration; write "20s"`},
		{"5min", `is not a duration; write "5m"`},
		{"30 seconds", `is not a duration; write "30s"`},
		{"1d", `is not a duration; write "24h"`},
		{"999d", noDuration},
		{"often", noDuration},
		{"999us", `is too short; the shortest is "1ms"`},
		{"8761h", `is too long; the longest is "8760h"`},
		{"9999999999h", `is too long; the longest is "8760h"`},
		{"1h9999999999h", `is too long; the longest is "8760h"`},
		{"+999999999999999999999s", `is too long; the longest is "8760h"`},
		{"9999999999d", noDuration},
		{"-9999999999h", noDuration},
	},
	"HOLDFAST_PING_TIMEOUT":           {{"-1s", "must not be negative"}},
	"HOLDFAST_CLIENT_PING_INTERVAL":   {{"5", `has no unit; write "5s"`}},
	"HOLDFAST_CLIENT_PING_TIMEOUT":    {{"5", `has no unit; write "5s"`}},
	"HOLDFAST_UPSTREAM_PING_INTERVAL": {{"5", `has no unit; write "5s"`}},
	"HOLDFAST_UPSTREAM_PING_TIMEOUT":  {{"5", `has no unit; write "5s"`}},
	"HOLDFAST_PING_JITTER": {
		{"10%", "must be a number from 0 to 1"}, {"1.1", "must be a number from 0 to 1"},
		{"-0.1", "must be a number from 0 to 1"}, {"NaN", "must be a number from 0 to 1"},
	},
	"HOLDFAST_LIVENESS":      {{"ping", "must be one of any, pong"}},
	"HOLDFAST_CLIENT_PONG":   {{"yes", "must be one of require, auto, ignore"}},
	"HOLDFAST_UPSTREAM_PONG": {{"Auto", "must be one of require, auto, ignore"}},
	"HOLDFAST_PEER_PINGS":    {{"drop", "must be one of answer, forward"}},
	"HOLDFAST_CLIENT_APP_PING": {
		{"a*b", `has a wildcard, and is a message to send; write \* for an asterisk`},
	},
	"HOLDFAST_CLIENT_APP_PING_INTERVAL": {{"20s", "has no effect without HOLDFAST_CLIENT_APP_PING; set that too, or unset it"}},
	"HOLDFAST_CLIENT_APP_PONG":          {{"pong", "has no effect without HOLDFAST_CLIENT_APP_PING; set that too, or unset it"}},
	"HOLDFAST_CLIENT_APP_ANSWER": {
		{"ping", noArrow},
		{"ping => pong", `has blanks at an end of a text, which would be part of it; remove them, or write \x20 or \t`},
		{"a=>b;;c", `has a rule, number 2, "c", that ` + noArrow + `, and \;; for two semicolons in a text`},
	},
	"HOLDFAST_UPSTREAM_APP_PING":          {{"**", `has two wildcards; write \* for an asterisk that belongs to the text`}},
	"HOLDFAST_UPSTREAM_APP_PING_INTERVAL": {{"0", "has no effect without HOLDFAST_UPSTREAM_APP_PING; set that too, or unset it"}},
	"HOLDFAST_UPSTREAM_APP_PONG":          {{"pong", "has no effect without HOLDFAST_UPSTREAM_APP_PING; set that too, or unset it"}},
	"HOLDFAST_UPSTREAM_APP_ANSWER":        {{"=>a", "has nothing before =>; write ASKED=>ANSWER"}},

	"HOLDFAST_WRITE_TIMEOUT":        {{"0", notPositive}, {"0.0", notPositive}, {"00", notPositive}},
	"HOLDFAST_CLOSE_TIMEOUT":        {{"0s", notPositive}},
	"HOLDFAST_IDLE_TIMEOUT":         {{"60", `has no unit; write "60s"`}},
	"HOLDFAST_MAX_SESSION_DURATION": {{"1 day", `is not a duration; write "24h"`}},
	"HOLDFAST_HANDSHAKE_TIMEOUT":    {{"0", notPositive}, {"-1s", "must not be negative"}},
	"HOLDFAST_HTTP_TIMEOUT":         {{"0", notPositive}},
	"HOLDFAST_DIAL_TIMEOUT":         {{"0", notPositive}},
	"HOLDFAST_TCP_USER_TIMEOUT":     {{"597h", `is too long for the kernel; the longest is "596h"`}},

	"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT": {{"0", notPositive}, {"60", `has no unit; write "60s"`}},

	"HOLDFAST_MAX_SESSIONS": {
		{"-1", "must be a whole number from 0 to 2147483647"}, {"1e3", "must be a whole number from 0 to 2147483647"},
		{"2147483648", "must be a whole number from 0 to 2147483647"},
	},
	"HOLDFAST_MAX_SESSIONS_PER_IP": {{"some", "must be a whole number from 0 to 2147483647"}},
	"HOLDFAST_ALLOWED_ORIGINS": {
		{"https://", `has no host; write for example "https://app.example.com"`},
		{"*.example.com,https://a b", `has an element "https://a b" that has no valid host; a name is made of letters, digits, hyphens, underscores and dots`},
		{"*.example.com,", `has an element "" that is empty; write an origin, like "https://app.example.com"`},
	},
	"HOLDFAST_TRUSTED_PROXIES": {
		{"localhost", noPrefix},
		{"10.0.0.0/33", noPrefix},
		{"fe80::1%eth0", noPrefix},
		{"unix:/run/front.sock", noPrefix},
		{"10.0.0.1/8", `has bits set behind its prefix length; write "10.0.0.0/8", or "10.0.0.1" for one host`},
		{"unix:,2001:db8::1/32", `has an element "2001:db8::1/32" that has bits set behind its prefix length; write "2001:db8::/32", or "2001:db8::1" for one host`},
	},
	"HOLDFAST_PROXY_PROTOCOL": {
		{"on", "must be one of off, accept"},
		{"accept", "needs HOLDFAST_TRUSTED_PROXIES, since only trusted proxies may send the header; set it"},
	},
	"HOLDFAST_TLS_CLIENT_CA_FILE":     {{"ca.crt", "needs HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE; set them, or unset it"}},
	"HOLDFAST_UPSTREAM_TLS_CA_FILE":   {{"ca.crt", noTLS}},
	"HOLDFAST_UPSTREAM_TLS_CERT_FILE": {{"tls.crt", noTLS}},
	"HOLDFAST_UPSTREAM_TLS_KEY_FILE":  {{"tls.key", noTLS}},
	"HOLDFAST_UPSTREAM_TLS_SERVER_NAME": {
		{"localhost", noTLS}, {"https://localhost", noName}, {"localhost:443", noName}, {"[::1]", noName}, {"fe80::1%eth0", noName},
	},
	"HOLDFAST_UPSTREAM_TLS_INSECURE": {{"yes", "must be one of true, false"}, {"true", noTLS}},
	"HOLDFAST_UPSTREAM_HOST": {
		{"http://a", noUpHost}, {"a/b", noUpHost}, {"a:", noUpHost}, {"a:0", noUpHost}, {":80", noUpHost},
		{"::1", noUpHost}, {"::1:80", noUpHost}, {"[fe80::1%25eth0]", noUpHost}, {"a b", noUpHost}, {"bücher.example", noUpHost},
		{"[a]", noUpHost}, {"[fe80::1%eth0]", noUpHost}, {"off", noUpHost}, {"None", noUpHost},
		{"Upstream", `must be in lower case; write "upstream"`}, {"PRESERVE", `must be in lower case; write "preserve"`},
	},
	"HOLDFAST_UPSTREAM_HEADERS": {
		{"s3cret", "has a field, number 1, that has no equals sign; write name=value;name=value, with no semicolon in a value"},
		{"A=s3cret;", "has a field, number 2, that has no equals sign; write name=value;name=value, with no semicolon in a value"},
		{"A=1;s3 cret=2", "has a field, number 2, that has no valid name; use letters, digits and hyphens"},
		{"=s3cret", "has a field, number 1, that has no valid name; use letters, digits and hyphens"},
		{"A=s3\x01cret", "has a field, number 1, that has a control character in its value; write one line of text"},
		{"A=s3cret\nB=s3cret", "has a field, number 1, that has a line break in its value; write the fields in one line, with semicolons between them"},
		{"A=1;B=2;a=s3cret", "has fields of the same name, numbers 1 and 3; leave one out"},
		{"X-A=1;x_a=s3cret", "has fields of the same name, numbers 1 and 2; leave one out"},
		{"host=s3cret", "has a field, number 1, that is Host; set HOLDFAST_UPSTREAM_HOST instead"},
		{"te=s3cret", "has a field, number 1, that is TE, which the proxy states itself; leave it out"},
		{"X_Forwarded_For=s3cret", "has a field, number 1, that is X-Forwarded-For, which the proxy states itself; leave it out"},
		{"expect=s3cret", "has a field, number 1, that is Expect, which belongs to a single request; leave it out"},
		{"Sec-WebSocket-Key=s3cret", "has a field, number 1, that is one of Sec-WebSocket-*, which belong to the handshake; leave it out"},
	},
	"HOLDFAST_COMPRESSION": {{"on", "must be one of pass, off"}},
	"HOLDFAST_HTTP":        {{"deny", "must be one of proxy, refuse"}},
	"HOLDFAST_MAX_FRAME_SIZE": {
		{"1MB", noSize}, {"1.5MiB", noSize}, {"-1", noSize}, {"MiB", noSize}, {"1 KiB", noSize},
		{"9223372036854775808", "is too large"}, {"8796093022208MiB", "is too large"},
	},
	"HOLDFAST_MAX_MESSAGE_SIZE": {{"1MB", noSize}, {"4096MiB", "must be less than 4096MiB"}, {"4294967296", "must be less than 4096MiB"}, {"9223372036854775808", "is too large"}},
	"HOLDFAST_CLIENT_MAX_RATE": {
		{"200", `is not a rate; write "200/s"`}, {"200r/s", `is not a rate; write "200/s"`}, {"200 / sec", `is not a rate; write "200/s"`}, {"600/Minute", `is not a rate; write "600/m"`},
		{"9/h", `is not a rate; write for example "200/s"`}, {"1.5/s", `is not a rate; write for example "200/s"`}, {"often", `is not a rate; write for example "200/s"`}, {"2147483648/s", `is not a rate; write for example "200/s"`},
		{"/s", `is not a rate; write for example "200/s"`}, {"200/", `is not a rate; write "200/s"`}, {"5KiB/s", `is not a rate; write for example "200/s"`},
		{"-1/s", "must not be negative"}, {"0/s", `must be more than zero; for no limit write "0"`}, {"59/m", `is less than one frame a second, and no pause is longer than that; write "1/s" or more`},
	},
	"HOLDFAST_CLIENT_MAX_BYTES_RATE": {
		{"1MiB", `is not a rate; write "1MiB/s"`}, {"64KiB/sec", `is not a rate; write "64KiB/s"`}, {"5MB/s", `is not a rate; write for example "1MiB/s"`}, {"1000 /s", `is not a rate; write "1000/s"`},
		{"59/m", `is less than one byte a second, and no pause is longer than that; write "1/s" or more`},
	},
	"HOLDFAST_MAX_HEADER_SIZE": {{"1023", "must be from 1KiB to 1MiB"}, {"0", "must be from 1KiB to 1MiB"}, {"2MiB", "must be from 1KiB to 1MiB"}, {"32k", noSize}},
	"HOLDFAST_BALANCE": {
		{"least-sessions", `is not a rule; write "least_sessions"`}, {"Hash:IP", `is not a rule; write "hash:ip"`}, {"ip_hash", `is not a rule; write "hash:ip"`},
		{"hash", `does not say what is hashed; write "hash:ip", "hash:header:NAME" or "hash:cookie:NAME"`},
		{"hash:cookie", `names no cookie; write its name, like "hash:cookie:session"`},
		{"hash:header:Host", `names a field that the proxy states itself; name one that comes from the client, or write "hash:ip" for the client's address`},
		{"sticky", `is not a rule; for clients that must come back to the same upstream write "hash:ip", "hash:header:NAME" or "hash:cookie:NAME"`},
		{"random", "must be least_sessions, round_robin, hash:ip, hash:header:NAME or hash:cookie:NAME"},
	},
	"HOLDFAST_SLOW_START": {{"30", `has no unit; write "30s"`}, {"-1s", "must not be negative"}},
	"HOLDFAST_ADMIN_TOKEN": {
		{"0123456789abcde", fewBytes}, {"s3cret", fewBytes}, {"x===", fewBytes}, {strings.Repeat("=", 16), noToken},
		{"0123456789 abcdef", noToken}, {"0123456789=abcdef", noToken}, {"0123456789abcdef\x00", noToken}, {"s3cret-s3cret-ü", noToken},
		{strings.Repeat("x", maxToken+1), "has more than 1024 bytes; write a shorter one"},
	},
	"HOLDFAST_HEALTH_INTERVAL": {{"10", `has no unit; write "10s"`}, {"-1s", "must not be negative"}},
	"HOLDFAST_DRAIN_DELAY":     {{"5", `has no unit; write "5s"`}, {"-1s", "must not be negative"}},
	"HOLDFAST_DRAIN_SPREAD":    {{"20", `has no unit; write "20s"`}, {"-1s", "must not be negative"}},
	"HOLDFAST_DRAIN_TIMEOUT":   {{"30", `has no unit; write "30s"`}, {"-1s", "must not be negative"}},
	"HOLDFAST_HEALTH_PATH": {
		{"healthz", `does not begin with a slash; write a path like "/healthz"`},
		{"http://service/healthz", `does not begin with a slash; write a path like "/healthz"`},
		{"/a b", "has white space or bytes that are not ASCII; write those as %20 and the like"},
		{"/ü", "has white space or bytes that are not ASCII; write those as %20 and the like"},
	},
	"HOLDFAST_CLOSE_CODE_TIMEOUT":       {{"1005", noCloseCode}, {"1006", noCloseCode}, {"1015", noCloseCode}, {"1004", noCloseCode}, {"going away", noCloseCode}},
	"HOLDFAST_CLOSE_CODE_UPSTREAM_LOST": {{"999", noCloseCode}, {"2999", noCloseCode}, {"5000", noCloseCode}, {"70000", noCloseCode}},
	"HOLDFAST_CLOSE_CODE_DRAIN":         {{"-1", noCloseCode}},
	"HOLDFAST_LOG_LEVEL":                {{"trace", "must be one of debug, info, warn, error"}, {"INFO+2", "must be one of debug, info, warn, error"}},
	"HOLDFAST_LOG_FORMAT":               {{"logfmt", "must be one of auto, text, json"}},
	"HOLDFAST_PPROF":                    {{"on", "must be one of true, false"}},
}

func TestRefused(t *testing.T) {
	for _, v := range variables {
		if len(refused[v.name]) == 0 && !strings.HasSuffix(v.name, "_FILE") { // any path may be one
			t.Errorf("%s has no refused value here", v.name)
		}
		for _, tc := range refused[v.name] {
			environ := []string{v.name + "=" + tc.value}
			if v.name != upstreamName {
				environ = append(environ, someUpstream)
			}
			want := v.name + `="` + tc.value + `" ` + tc.reason
			if v.secret {
				want = v.name + " " + tc.reason
			}
			if _, err := load(environ...); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
	}
}

// What is refused is shown, but neither raw, nor endlessly, nor with a secret in it.
func TestRefusedValuesAreShownSafely(t *testing.T) {
	for _, tc := range []struct{ environ, want string }{
		{"HOLDFAST_UPSTREAM=ws://user:s3cret@host", `HOLDFAST_UPSTREAM="ws://…@host" must not contain a user name or password`},
		{"HOLDFAST_UPSTREAM=user:s3cret@host:9000", `HOLDFAST_UPSTREAM="…@host:9000" has no scheme; write for example "ws://localhost:9000"`},
		{"HOLDFAST_UPSTREAM=ws://user:s3/cret@host", `HOLDFAST_UPSTREAM="ws://…@host" ` + noURL},
		{"HOLDFAST_UPSTREAM=ws://host/?token=s3cret", `HOLDFAST_UPSTREAM="ws://host/?…" must not contain a query or fragment; both come from the client`},
		{"HOLDFAST_UPSTREAM=ws://me:s3cr,et@host", `HOLDFAST_UPSTREAM="ws://…@host" must not contain a user name or password`},
		{"HOLDFAST_UPSTREAM=ws://me:s3,c,ret@host,ws://other", `HOLDFAST_UPSTREAM="ws://…@host,ws://other" must not contain a user name or password`},
		{"HOLDFAST_UPSTREAM=ws://host,me:s3cret@host", `HOLDFAST_UPSTREAM="ws://…@host" must not contain a user name or password`},
		{"HOLDFAST_UPSTREAM=ws://a,ws://me:s3cret@b", `HOLDFAST_UPSTREAM="ws://…@b" has an element "ws://…@b" that must not contain a user name or password`},
		{"HOLDFAST_UPSTREAM=ws://host/#s3cret", `HOLDFAST_UPSTREAM="ws://host/#…" must not contain a query or fragment; both come from the client`},
		{"HOLDFAST_LIVENESS=\x1b[31m\n\"", `HOLDFAST_LIVENESS="\x1b[31m\n\"" must be one of any, pong`},
		{"HOLDFAST_LIVENESS=\xff", `HOLDFAST_LIVENESS="\xff" must be one of any, pong`},
		{"HOLDFAST_LIVENESS=" + strings.Repeat("x", 10000), `HOLDFAST_LIVENESS="` + strings.Repeat("x", shown.Max) + `…" must be one of any, pong`},
		{"HOLDFAST_LIVENESS=x" + strings.Repeat("ü", 10000), `HOLDFAST_LIVENESS="x` + strings.Repeat("ü", shown.Max/2-1) + `…" must be one of any, pong`},
		{"HOLDFAST_LISTEN=unix:/a.sock?", `HOLDFAST_LISTEN="unix:/a.sock?…" has an unknown option; the only one is mode, like "?mode=0660"`},
		{"HOLDFAST_LISTEN=unix:/a.sock?mod=0660", `HOLDFAST_LISTEN="unix:/a.sock?…" has an unknown option; the only one is mode, like "?mode=0660"`},
		{"HOLDFAST_LISTEN=unix:/a.sock?mode=0680", `HOLDFAST_LISTEN="unix:/a.sock?…" has no valid mode; write it in octal, like "?mode=0660"`},
		{"HOLDFAST_LISTEN=unix:/a.sock?mode=4777", `HOLDFAST_LISTEN="unix:/a.sock?…" has no valid mode; write it in octal, like "?mode=0660"`},
		{"HOLDFAST_LISTEN=unix:/a.sock?mode=rw", `HOLDFAST_LISTEN="unix:/a.sock?…" has no valid mode; write it in octal, like "?mode=0660"`},
		{"HOLDFAST_LISTEN=unix:/a.sock?mode=0660&mode=0600", `HOLDFAST_LISTEN="unix:/a.sock?…" has no valid mode; write it in octal, like "?mode=0660"`},
		{"HOLDFAST_LISTEN=unix:/a.sock?mode=0555", `HOLDFAST_LISTEN="unix:/a.sock?…" has a mode that lets nobody connect, since that needs the permission to write; write for example "?mode=0660"`},
		{"HOLDFAST_UPSTREAM=unix:/a.sock?mode=0660", `HOLDFAST_UPSTREAM="unix:/a.sock?…" has a mode, which only HOLDFAST_LISTEN sets; leave it out`},
		{"HOLDFAST_PING_INTERVAL=" + strings.Repeat("0", 100) + "1", `HOLDFAST_PING_INTERVAL="` + strings.Repeat("0", shown.Max) + `…" has no unit; ` + durationExample},
		{"HOLDFAST_PASSWORD=s3cret", "HOLDFAST_PASSWORD is not a variable of Holdfast; `holdfast env` lists all"},
		{"HOLDFAST_UPSTREAM_HOST=me:s3cret@host", `HOLDFAST_UPSTREAM_HOST="…@host" ` + noUpHost},
		{"HOLDFAST_ADMIN_TOKEN=s3cret", "HOLDFAST_ADMIN_TOKEN " + fewBytes},
		{"HOLDFAST_TAKEOVER=s3cret", "HOLDFAST_TAKEOVER is not supported by this version; unset it"},
		{"HOLDFAST_\x1b[2J=1", `HOLDFAST_\x1b[2J is not a variable of Holdfast; ` + "`holdfast env` lists all"},
	} {
		environ := []string{tc.environ}
		if !strings.HasPrefix(tc.environ, upstreamName+"=") {
			environ = append(environ, someUpstream)
		}
		if _, err := load(environ...); err == nil || err.Error() != tc.want {
			t.Errorf("got  %v\nwant %s", err, tc.want)
		}
	}
}

// What a problem says to write is accepted.
func TestRemediesCanBeFollowed(t *testing.T) {
	remedy := regexp.MustCompile(`(?:write|or) ("(?:[^"\\]|\\.)*")`)
	followed := 0
	for name, cases := range refused {
		for _, tc := range cases {
			for _, quoted := range remedy.FindAllStringSubmatch(tc.reason, -1) {
				value, err := strconv.Unquote(quoted[1])
				if err != nil {
					t.Fatal(err)
				}
				value = strings.Replace(value, ":PORT", ":9999", 1)
				environ := append([]string{someUpstream}, companions[name]...)
				if _, err := load(append(environ, name+"="+value)...); err != nil {
					t.Errorf("%s: %s is to be written, and is refused: %v", name, quoted[1], err)
				}
				followed++
			}
		}
	}
	if followed < 50 {
		t.Errorf("only %d remedies were found", followed)
	}
}

// However long a value is, its problem is short.
func TestProblemsAreShort(t *testing.T) {
	const long, most = 10_000, 400
	for _, v := range variables {
		for _, value := range []string{
			strings.Repeat("9", long), strings.Repeat("0", long) + "1", strings.Repeat("x", long), strings.Repeat("x.", long) + ":1",
			"::1%" + strings.Repeat("x", long), "[::1%" + strings.Repeat("x", long) + "]", "[::1%" + strings.Repeat("x", long) + "]:1", ":" + strings.Repeat("0", long) + "80",
			strings.Repeat("0", long) + "s", strings.Repeat("0", long) + "1hour", "//" + strings.Repeat("x", long), "localhost/" + strings.Repeat("x", long),
			"unix:/" + strings.Repeat("x", long), "systemd:" + strings.Repeat("x", long), "/" + strings.Repeat("x", long) + " ", "https://" + strings.Repeat("x", long), "10.0.0.0/" + strings.Repeat("9", long),
		} {
			_, err := load(v.name + "=" + value)
			if err == nil {
				continue
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if len(line) > most {
					t.Errorf("%s=%.20s…: a problem of %d bytes: %.100s…", v.name, value, len(line), line)
				}
			}
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(
		"HOLDFAST_TAKEOVER=/run/holdfast.sock",
		"HOLDFAST_PPROF=on",
		"HOLDFAST_LISTENN=:80",
		"HOLDFAST_PING_INTERVAL=20",
		"HOLDFAST_LISTEN=8080",
		"HOLDFAST_TCP_USER_TIMEOUT=600h",
	)
	want := strings.Join([]string{
		"HOLDFAST_UPSTREAM is not set; it says where the service is, for example HOLDFAST_UPSTREAM=ws://localhost:9000",
		`HOLDFAST_LISTEN="8080" has no colon; write ":8080"`,
		`HOLDFAST_PING_INTERVAL="20" has no unit; write "20s"`, // and not again for the legs that take it
		`HOLDFAST_TCP_USER_TIMEOUT="600h" is too long for the kernel; the longest is "596h"`,
		`HOLDFAST_PPROF="on" must be one of true, false`,
		"HOLDFAST_LISTENN is not a variable of Holdfast; did you mean HOLDFAST_LISTEN?",
		"HOLDFAST_TAKEOVER is not supported by this version; unset it",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var found Problems
	if !errors.As(err, &found) || found.OnlyUpstreamMissing() {
		t.Error("more than the upstream is missing")
	}
}

// So is a URL, whatever stands in its parts.
func TestAllProblemsOfAnUpstreamAtOnce(t *testing.T) {
	const noUser, noQuery = "must not contain a user name or password", "must not contain a query or fragment; both come from the client"
	for value, want := range map[string][]string{
		"ws://me:s3cret@localhost/?a": {`"ws://…@localhost/?…"`, noUser, noQuery},
		"tcp://localhost:0/#a":        {`"tcp://localhost:0/#…"`, noScheme, noQuery, "has no valid port; it must be a number from 1 to 65535"},
		"tcp://:80":                   {`"tcp://:80"`, noScheme, "has no host"},
	} {
		var lines []string
		for _, reason := range want[1:] {
			lines = append(lines, "HOLDFAST_UPSTREAM="+want[0]+" "+reason)
		}
		if _, err := load("HOLDFAST_UPSTREAM=" + value); err == nil || err.Error() != strings.Join(lines, "\n") {
			t.Errorf("got\n%v\nwant\n%s", err, strings.Join(lines, "\n"))
		}
	}
}

// A list is read to its end, so that nobody has to mend it one element at a time.
func TestAllProblemsOfAListAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		reasons     []string
	}{
		{"HOLDFAST_ALLOWED_ORIGINS", "https://a b,*.example.com,,null", []string{
			`has an element "https://a b" that has no valid host; a name is made of letters, digits, hyphens, underscores and dots`,
			`has an element "" that is empty; write an origin, like "https://app.example.com"`,
			`has an element "null" that cannot be allowed: all pages that have no origin of their own share it, sandboxed ones among them`,
		}},
		{"HOLDFAST_UPSTREAM", "ws://a/x,tcp://b:0,,ws://a/x,ws://c", []string{
			`has an element "tcp://b:0" that ` + noScheme,
			`has an element "tcp://b:0" that has no valid port; it must be a number from 1 to 65535`,
			`has an element "" that is empty; write for example "ws://localhost:9000", or leave its comma out`,
			`has an element "ws://a/x" twice; leave one out`,
			`has an element "ws://c" that has another path than "ws://a/x"; write the same path for all, since any of them may get a request`,
		}},
		{"HOLDFAST_TRUSTED_PROXIES", "localhost,10.0.0.0/8,10.0.0.1/8", []string{
			`has an element "localhost" that ` + noPrefix,
			`has an element "10.0.0.1/8" that has bits set behind its prefix length; write "10.0.0.0/8", or "10.0.0.1" for one host`,
		}},
		{"HOLDFAST_UPSTREAM_HEADERS", "s3cret;A=1;host=s3cret;a=s3cret", []string{
			"has a field, number 1, that has no equals sign; write name=value;name=value, with no semicolon in a value",
			"has a field, number 3, that is Host; set HOLDFAST_UPSTREAM_HOST instead",
			"has fields of the same name, numbers 2 and 4; leave one out",
		}},
	} {
		var want []string
		for _, reason := range tc.reasons {
			if variableNamed(tc.name).secret {
				want = append(want, tc.name+" "+reason)
			} else {
				want = append(want, tc.name+`="`+tc.value+`" `+reason)
			}
		}
		if _, err := load(someUpstream, tc.name+"="+tc.value); err == nil || err.Error() != strings.Join(want, "\n") {
			t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
		}
	}
}

func TestEmptyMeansDefault(t *testing.T) {
	environ := []string{}
	for _, name := range Names() {
		environ = append(environ, name+"=")
	}
	want := mustLoad(t, someUpstream)
	if got := mustLoad(t, append(environ, someUpstream)...); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, err := load(environ...); err == nil {
		t.Error("an empty upstream was accepted")
	}
}

func TestLogsText(t *testing.T) {
	for _, tc := range []struct {
		format         string
		terminal, want bool
	}{
		{"auto", true, true}, {"auto", false, false}, {"text", false, true}, {"json", true, false},
	} {
		if got := mustLoad(t, someUpstream, "HOLDFAST_LOG_FORMAT="+tc.format).LogsText(tc.terminal); got != tc.want {
			t.Errorf("%s, terminal %v: text %v, want %v", tc.format, tc.terminal, got, tc.want)
		}
	}
}
