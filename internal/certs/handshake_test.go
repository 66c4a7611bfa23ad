package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// patience is when a test gives up that would otherwise wait for ever.
const patience = 20 * time.Second

// session is a TLS connection, from both of its ends.
type session struct{ server, client *tls.Conn }

// handshake is one over loopback. In TLS 1.3 a client learns only after its
// handshake what the server thinks of its certificate, so the server says a byte
// when it is content and the client waits for it.
func handshake(t *testing.T, server, client *tls.Config) (s session, serverErr, clientErr error) {
	t.Helper()
	near, far := loopback(t)
	s = session{tls.Server(near, server), tls.Client(far, client)}
	served := make(chan error, 1)
	go func() { served <- welcome(s.server) }()
	_, clientErr = io.ReadFull(s.client, make([]byte, 1))
	if clientErr != nil {
		_ = far.Close() // the server may be waiting for more
	}
	return s, <-served, clientErr
}

func welcome(server *tls.Conn) error {
	if _, err := server.Write([]byte{0}); err != nil {
		_ = server.Close() // the client waits for the byte
		return err
	}
	return nil
}

// connect is a handshake that works.
func connect(t *testing.T, server, client *tls.Config) session {
	t.Helper()
	s, serverErr, clientErr := handshake(t, server, client)
	if serverErr != nil || clientErr != nil {
		t.Fatalf("handshake: server: %v, client: %v", serverErr, clientErr)
	}
	return s
}

// loopback is a TCP connection, from both of its ends.
func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{near, far} {
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return near, far
}

// works wants bytes to get through, both ways.
func (s session) works(t *testing.T, why string) {
	t.Helper()
	for _, way := range [][2]*tls.Conn{{s.client, s.server}, {s.server, s.client}} {
		got := make([]byte, 4)
		if _, err := way[0].Write([]byte("ping")); err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "ping" {
			t.Fatalf("%s: got %q, %v", why, got, err)
		}
	}
}

// shown wants the server to have shown the certificate of i.
func (s session) shown(t *testing.T, i *identity, why string) {
	t.Helper()
	if !s.client.ConnectionState().PeerCertificates[0].Equal(i.cert) {
		t.Errorf("the client was shown another certificate: %s", why)
	}
}

// resumed wants the session to be, or not to be, one that was resumed.
func (s session) resumed(t *testing.T, want bool, why string) {
	t.Helper()
	if got := s.client.ConnectionState().DidResume; got != want {
		t.Errorf("resumed is %t, want %t: %s", got, want, why)
	}
}

// trusting is a client that trusts these roots and has no certificate.
func trusting(roots ...*identity) *tls.Config {
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root.cert)
	}
	return &tls.Config{RootCAs: pool, ServerName: serverName}
}

// as is config with the certificate of i.
func as(config *tls.Config, i *identity) *tls.Config {
	config = config.Clone()
	config.Certificates = []tls.Certificate{i.pair()}
	return config
}

func (i *identity) pair() tls.Certificate {
	chain := [][]byte{i.cert.Raw}
	for above := i.issuer; above != nil && above.issuer != nil; above = above.issuer {
		chain = append(chain, above.cert.Raw)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: i.key, Leaf: i.cert}
}

// versions are those that are spoken; a config for one speaks no other.
var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

func only(config *tls.Config, version uint16) *tls.Config {
	config = config.Clone()
	config.MinVersion, config.MaxVersion = version, version
	return config
}

func offering(config *tls.Config, protocols ...string) *tls.Config {
	config = config.Clone()
	config.NextProtos = slices.Clone(protocols)
	return config
}
