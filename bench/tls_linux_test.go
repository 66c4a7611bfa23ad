package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// collector is an endpoint that keeps what it is told.
type collector struct {
	bytes []byte
	end   error
	over  bool
}

func (e *collector) received(_ *conn, p []byte) error {
	e.bytes = append(e.bytes, p...)
	return nil
}
func (e *collector) drained(*conn) error { return nil }
func (e *collector) ended(_ *conn, err error) {
	e.end, e.over = err, true
}

// listenTLS serves one connection in a goroutine, which is over when the test is.
func listenTLS(t *testing.T, config *tls.Config, serve func(*tls.Conn) error) netip.AddrPort {
	t.Helper()
	listener, err := tls.Listen("tcp", certificateHost+":0", config)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		served <- errors.Join(serve(conn.(*tls.Conn)), conn.Close())
	}()
	t.Cleanup(func() {
		listener.Close()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// testCertificate is one that a server can show, and how the load connects to it.
func testCertificate(t *testing.T) (server, load *tls.Config) {
	t.Helper()
	made, err := makeCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(made.BothFile, made.BothFile)
	if err != nil {
		t.Fatal(err)
	}
	if load, err = loadTLS(made.pem); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, load
}

// runTo turns until the connection is over, or fails the test.
func runTo(t *testing.T, l *loop, e *collector) {
	t.Helper()
	for deadline := time.Now().Add(answerLimit); !e.over; {
		if time.Now().After(deadline) {
			t.Fatal("the connection does not end")
		}
		if err := l.turn(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLSCarriesMoreThanTheKernelTakesAtOnce(t *testing.T) {
	server, load := testCertificate(t)
	request := pattern(16 << 20) // more than any socket holds: the rest must wait
	address := listenTLS(t, server, func(c *tls.Conn) error {
		got := make([]byte, len(request))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		_, err := c.Write(got)
		return err
	})
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	var e collector
	if _, err := l.dialTLS(address, load, request, &e); err != nil {
		t.Fatal(err)
	}
	runTo(t, l, &e)
	if e.end != io.EOF || !bytes.Equal(e.bytes, request) {
		t.Errorf("%d bytes came back as they were: %v, then %v; want %d, and EOF",
			len(e.bytes), bytes.Equal(e.bytes, request), e.end, len(request))
	}
}

func TestTLSHandshakesAreFullAndOfOneKind(t *testing.T) {
	server, load := testCertificate(t)
	for range 2 {
		address := listenTLS(t, server, func(c *tls.Conn) error {
			_, err := io.ReadFull(c, make([]byte, 5))
			state := c.ConnectionState()
			if state.DidResume || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519 {
				t.Errorf("resumed %v, version %#x, key exchange %v; want false, TLS 1.3, X25519", state.DidResume, state.Version, state.CurveID)
			}
			return err
		})
		l, err := newLoop()
		if err != nil {
			t.Fatal(err)
		}
		var e collector
		if _, err := l.dialTLS(address, load, []byte("hello"), &e); err != nil {
			t.Fatal(err)
		}
		runTo(t, l, &e)
		if e.end != io.EOF {
			t.Errorf("ended with %v, want EOF", e.end)
		}
	}
	if err := checkNegotiated(tls.ConnectionState{CipherSuite: tls.TLS_AES_256_GCM_SHA384}); err == nil {
		t.Error("AES-256 passes")
	}
}

func TestTLSHandshakeThatFailsEndsTheConnection(t *testing.T) {
	_, load := testCertificate(t)
	other, _ := testCertificate(t)
	address := listenTLS(t, other, func(c *tls.Conn) error {
		if c.Handshake() == nil {
			return errors.New("a client that trusts another certificate has accepted this one")
		}
		return nil
	})
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	var e collector
	if _, err := l.dialTLS(address, load, []byte("hello"), &e); err != nil {
		t.Fatal(err)
	}
	runTo(t, l, &e)
	var unknown *tls.CertificateVerificationError
	if !errors.As(e.end, &unknown) || len(e.bytes) > 0 {
		t.Errorf("ended with %v, want that the certificate is unknown", e.end)
	}
}
