package config

import (
	"log/slog"
	"reflect"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy"
)

func TestLegsTakeTheGlobalPings(t *testing.T) {
	c := mustLoad(t, someUpstream, "HOLDFAST_PING_INTERVAL=7s", "HOLDFAST_PING_TIMEOUT=0", "HOLDFAST_CLIENT_PING_TIMEOUT=3s",
		"HOLDFAST_UPSTREAM_PING_INTERVAL=0", "HOLDFAST_PING_JITTER=0.5", "HOLDFAST_LIVENESS=pong", "HOLDFAST_CLIENT_PONG=ignore")
	got := c.Proxy(&Certificates{}, nil, nil, nil)
	client := heartbeat.Rules{Interval: 7 * time.Second, Timeout: 3 * time.Second, Jitter: .5, Liveness: heartbeat.OnlyPong, Pong: heartbeat.IgnorePong}
	if got.Client != client {
		t.Errorf("client: got %+v, want %+v", got.Client, client)
	}
	upstream := heartbeat.Rules{Jitter: .5, Liveness: heartbeat.OnlyPong, Pong: heartbeat.LearnPong}
	if got.UpstreamSide != upstream {
		t.Errorf("upstream: got %+v, want %+v", got.UpstreamSide, upstream)
	}
}

// Every setting reaches the proxy, in the right place.
func TestProxyConfig(t *testing.T) {
	log, m := slog.New(slog.DiscardHandler), metrics.New("test")
	c := mustLoad(t, someUpstream, "HOLDFAST_LISTEN=:1", "HOLDFAST_PEER_PINGS=forward", "HOLDFAST_WRITE_TIMEOUT=1s",
		"HOLDFAST_CLOSE_TIMEOUT=2s", "HOLDFAST_IDLE_TIMEOUT=3s", "HOLDFAST_MAX_SESSION_DURATION=4s", "HOLDFAST_HANDSHAKE_TIMEOUT=5s",
		"HOLDFAST_DIAL_TIMEOUT=6s", "HOLDFAST_TCP_USER_TIMEOUT=7s", "HOLDFAST_MAX_SESSIONS=8", "HOLDFAST_MAX_FRAME_SIZE=9",
		"HOLDFAST_MAX_SESSIONS_PER_IP=10", "HOLDFAST_ALLOWED_ORIGINS=*.example.com", "HOLDFAST_TRUSTED_PROXIES=10.0.0.0/8,unix:",
		"HOLDFAST_PROXY_PROTOCOL=accept", "HOLDFAST_UPSTREAM_HOST=upstream", "HOLDFAST_UPSTREAM_HEADERS=A=1;B=2", "HOLDFAST_HTTP=refuse",
		"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=11s", "HOLDFAST_COMPRESSION=off", "HOLDFAST_BALANCE=hash:cookie:io", "HOLDFAST_SLOW_START=13s",
		"HOLDFAST_MAX_HEADER_SIZE=2KiB", "HOLDFAST_MAX_MESSAGE_SIZE=14", "HOLDFAST_CLIENT_MAX_RATE=15/s", "HOLDFAST_CLIENT_MAX_BYTES_RATE=16/s",
		"HOLDFAST_CLIENT_APP_PING=a", "HOLDFAST_CLIENT_APP_PING_INTERVAL=17s", "HOLDFAST_CLIENT_APP_PONG=b", "HOLDFAST_CLIENT_APP_ANSWER=c=>d",
		"HOLDFAST_UPSTREAM_APP_PING=e", "HOLDFAST_UPSTREAM_PING_INTERVAL=18s", "HOLDFAST_UPSTREAM_APP_PONG=f*", "HOLDFAST_UPSTREAM_APP_ANSWER=g*=>*h",
		"HOLDFAST_HEALTH_INTERVAL=12s", "HOLDFAST_HEALTH_PATH=/up?a", "HOLDFAST_HTTP_TIMEOUT=11s", "HOLDFAST_CLOSE_CODE_TIMEOUT=4001", "HOLDFAST_CLOSE_CODE_UPSTREAM_LOST=4002", "HOLDFAST_CLOSE_CODE_DRAIN=4003")
	got := c.Proxy(&Certificates{}, nil, log, m)
	got.Client, got.UpstreamSide = heartbeat.Rules{}, heartbeat.Rules{}
	want := proxy.Config{
		Listen:             ":1",
		Upstreams:          []proxy.Upstream{{URL: c.Upstreams[0].URL, Host: "localhost:9000", HealthHost: "localhost:9000"}},
		Balance:            proxy.Balance{By: proxy.HashCookie, Name: "io"},
		SlowStart:          13 * time.Second,
		UpstreamHeader:     []proxy.HeaderField{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
		NoCompression:      true,
		RefuseHTTP:         true,
		TrustedProxies:     prefixes("10.0.0.0/8"),
		TrustUnix:          true,
		ProxyProtocol:      true,
		AllowedOrigins:     origins("*.example.com"),
		PeerPings:          proxy.ForwardPings,
		WriteTimeout:       1 * time.Second,
		CloseTimeout:       2 * time.Second,
		IdleTimeout:        3 * time.Second,
		MaxSessionDuration: 4 * time.Second,
		HandshakeTimeout:   5 * time.Second,
		HTTPTimeout:        11 * time.Second,
		DialTimeout:        6 * time.Second,
		HealthInterval:     12 * time.Second,
		HealthPath:         "/up?a",
		TCPUserTimeout:     7 * time.Second,
		MaxSessions:        8,
		MaxSessionsPerIP:   10,
		MaxFrameSize:       9,
		MaxMessageSize:     14,
		ClientPace:         proxy.Pace{Frames: 15, Bytes: 16},
		ClientApp:          proxy.App{Ping: "a", Interval: 17 * time.Second, Pong: appPong("b"), Answers: answers("c=>d")},
		UpstreamApp:        proxy.App{Ping: "e", Interval: 18 * time.Second, Pong: appPong("f*"), Answers: answers("g*=>*h")},
		MaxHeaderSize:      2 << 10,
		CloseCodes:         proxy.CloseCodes{Timeout: 4001, UpstreamLost: 4002, Drain: 4003},
		Log:                log,
		Metrics:            m,

		UpstreamHandshakeTimeout: 11 * time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A leg without messages of the proxy's own has nothing of them, not even an interval.
func TestNoAppMessages(t *testing.T) {
	got := mustLoad(t, someUpstream).Proxy(&Certificates{}, nil, nil, nil)
	if !reflect.DeepEqual(got.ClientApp, proxy.App{}) || !reflect.DeepEqual(got.UpstreamApp, proxy.App{}) {
		t.Errorf("got %+v and %+v", got.ClientApp, got.UpstreamApp)
	}
}
