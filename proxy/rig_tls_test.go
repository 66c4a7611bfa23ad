package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"math/big"
	"net"
	"sync"
	"time"

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
	if cfg.UpstreamTLS == nil {
		secureUpstream(cfg)
	}
}

func secureClient(cfg *proxy.Config) { cfg.TLS = serverTLS() }

func secureUpstream(cfg *proxy.Config) {
	u := *cfg.Upstream
	switch u.Scheme {
	case "ws":
		u.Scheme = "wss"
	case "http":
		u.Scheme = "https"
	}
	cfg.Upstream, cfg.UpstreamTLS = &u, clientTLS
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
var authority = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "loopback"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func secured(r *rig, conn stream) stream {
	if r.tls.client {
		return tls.Client(conn, clientTLS())
	}
	return conn
}
