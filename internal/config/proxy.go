package config

import (
	"cmp"
	"log/slog"
	"os"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy"
)

// Proxy returns the configuration of the proxy. loaded are the TLS files of c. listen is
// the proxy's listening socket; if it is nil, the proxy opens one.
func (c Config) Proxy(loaded *Certificates, listen *os.File, log *slog.Logger, m *metrics.Metrics) proxy.Config {
	return proxy.Config{
		Listen:             c.Listen.Address(),
		ListenMode:         c.Listen.mode(),
		ListenFile:         listen,
		TLS:                loaded.serverTLS(),
		Upstreams:          c.upstreams(loaded),
		Balance:            c.Balance,
		SlowStart:          c.SlowStart,
		UpstreamHeader:     c.UpstreamHeaders,
		NoCompression:      bool(c.Compression),
		RefuseHTTP:         bool(c.HTTP),
		TrustedProxies:     c.TrustedProxies.prefixes,
		TrustUnix:          c.TrustedProxies.unix,
		ProxyProtocol:      bool(c.ProxyProtocol),
		AllowedOrigins:     c.AllowedOrigins,
		Client:             c.rules(c.ClientPingInterval, c.ClientPingTimeout, c.ClientPong),
		UpstreamSide:       c.rules(c.UpstreamPingInterval, c.UpstreamPingTimeout, c.UpstreamPong),
		ClientApp:          app(c.ClientAppPing, c.ClientAppPingInterval, c.ClientAppPong, c.ClientAppAnswer),
		UpstreamApp:        app(c.UpstreamAppPing, c.UpstreamAppPingInterval, c.UpstreamAppPong, c.UpstreamAppAnswer),
		PeerPings:          c.PeerPings,
		HandshakeTimeout:   time.Duration(c.HandshakeTimeout),
		HTTPTimeout:        time.Duration(c.HTTPTimeout),
		DialTimeout:        time.Duration(c.DialTimeout),
		HealthInterval:     c.HealthInterval,
		HealthPath:         string(c.HealthPath),
		WriteTimeout:       time.Duration(c.WriteTimeout),
		CloseTimeout:       time.Duration(c.CloseTimeout),
		IdleTimeout:        c.IdleTimeout,
		MaxSessionDuration: c.MaxSessionDuration,
		TCPUserTimeout:     c.TCPUserTimeout,
		MaxSessions:        c.MaxSessions,
		MaxSessionsPerIP:   c.MaxSessionsPerIP,
		MaxFrameSize:       int64(c.MaxFrameSize),
		MaxMessageSize:     int64(c.MaxMessageSize),
		ClientPace:         proxy.Pace{Frames: float64(c.ClientMaxRate), Bytes: float64(c.ClientMaxBytesRate)},
		MaxHeaderSize:      int(c.MaxHeaderSize),
		CloseCodes: proxy.CloseCodes{
			Timeout:      uint16(c.CloseCodeTimeout),
			UpstreamLost: uint16(c.CloseCodeUpstreamLost),
			Drain:        uint16(c.CloseCodeDrain),
		},
		Log:     log,
		Metrics: m,

		UpstreamHandshakeTimeout: time.Duration(c.UpstreamHandshakeTimeout),
	}
}

// Stop returns how SIGTERM ends the proxy.
func (c Config) Stop() proxy.Stop {
	return proxy.Stop{Delay: c.DrainDelay, Spread: c.DrainSpread, Timeout: c.DrainTimeout}
}

// StopAtOnce returns how SIGINT ends the proxy.
func (c Config) StopAtOnce() proxy.Stop { return proxy.AtOnce(time.Duration(c.CloseTimeout)) }

// upstreams returns the upstreams of the proxy.
func (c Config) upstreams(loaded *Certificates) (all []proxy.Upstream) {
	for _, u := range c.Upstreams {
		all = append(all, proxy.Upstream{URL: u.URL, TLS: loaded.UpstreamTLS(u), Host: c.upstreamHost(u), HealthHost: c.healthHost(u)})
	}
	return all
}

// upstreamHost returns the Host of requests to u; empty means the client's.
func (c Config) upstreamHost(u Upstream) string {
	switch c.UpstreamHost {
	case hostPreserve:
		return ""
	case hostUpstream:
		return u.ownHost()
	}
	return string(c.UpstreamHost)
}

// healthHost returns the Host of the requests that check u: that of sessions, or the
// upstream's own if those have the client's.
func (c Config) healthHost(u Upstream) string { return cmp.Or(c.upstreamHost(u), u.ownHost()) }

// rules returns the keepalive rules of a leg.
func (c Config) rules(interval, timeout time.Duration, pong heartbeat.PongMode) heartbeat.Rules {
	return heartbeat.Rules{
		Interval: interval,
		Timeout:  timeout,
		Jitter:   float64(c.PingJitter),
		Liveness: c.Liveness,
		Pong:     pong,
	}
}
