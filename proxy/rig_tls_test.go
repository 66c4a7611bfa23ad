package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"sync"

	"holdfast/internal/fixture"
	"holdfast/proxy"
)

// overTLS runs every conversation of this package's tests over TLS: what is true
// of a session is true whatever carries it.
var overTLS = flag.Bool("tls", false, "put TLS on both legs of the sessions in the end-to-end tests")

// legsTLS says which legs of a rig's sessions have TLS.
type legsTLS struct{ client, upstream bool }

// secureLegs puts TLS on both legs, where the test has not done so its own way.
func secureLegs(cfg *proxy.Config) {
	if cfg.TLS == nil {
		secureClient(cfg)
	}
	if cfg.Upstreams[0].TLS == nil {
		secureUpstream(cfg)
	}
}

func secureClient(cfg *proxy.Config) { cfg.TLS = serverTLS() }

func secureUpstream(cfg *proxy.Config) {
	for i := range cfg.Upstreams {
		u := *cfg.Upstreams[i].URL
		switch u.Scheme {
		case "ws":
			u.Scheme = "wss"
		case "http":
			u.Scheme = "https"
		}
		cfg.Upstreams[i].URL, cfg.Upstreams[i].TLS = &u, clientTLS
	}
}

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{authority()}, NextProtos: []string{"http/1.1"}}
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(authority().Leaf)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}}
}

// authority is a certificate for this machine that vouches for itself.
var authority = sync.OnceValue(func() tls.Certificate { return fixture.SelfSigned("127.0.0.1", fixture.Soon()) })

func secured(r *rig, conn stream) stream {
	if r.tls.client {
		return tls.Client(conn, clientTLS())
	}
	return conn
}
