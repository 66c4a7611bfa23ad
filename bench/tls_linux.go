package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// loadTLS returns the load's TLS configuration. It trusts certificate, which is in PEM. It
// offers only TLS 1.3 and X25519, so that all proxies do the same work.
func loadTLS(certificate []byte) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		return nil, errors.New("the certificate for TLS is not PEM")
	}
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
		NextProtos:       []string{"http/1.1"},
		RootCAs:          roots,
		ServerName:       certificateHost,
		// Without a cache crypto/tls does not ask for tickets. Then a proxy would have less
		// work than with browsers.
		ClientSessionCache: forgetful{},
	}, nil
}

// forgetful is a cache that never returns a session, so that every handshake is full.
type forgetful struct{}

func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (forgetful) Put(string, *tls.ClientSessionState)        {}

// checkNegotiated returns an error if a proxy does different work from the others. The
// load prefers AES-128, or ChaCha20 on a machine without instructions for AES.
func checkNegotiated(state tls.ConnectionState) error {
	if state.CipherSuite == tls.TLS_AES_256_GCM_SHA384 {
		return errors.New("TLS: the proxy chose AES-256 and not the cipher that the load prefers, as the other proxies do")
	}
	return nil
}

// handshakes are the TLS handshakes of a loop. crypto/tls cannot interrupt a handshake and
// continue it later. So each handshake has its own goroutine and a blocking socket.
type handshakes struct {
	done chan handshaken
	bell int // an eventfd that wakes the loop when a handshake is done
}

// A handshaken is a connection whose handshake is done. It belongs to the loop again.
type handshaken struct {
	conn    *conn
	request []byte
	err     error
}

func newHandshakes() (handshakes, error) {
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return handshakes{make(chan handshaken, dialWindow), bell}, os.NewSyscallError("eventfd", err)
}

// dialTLS begins a TLS connection whose first bytes will be request. Until the handshake is
// done the connection belongs to the handshake's goroutine, and is not in the table.
func (l *loop) dialTLS(to netip.AddrPort, config *tls.Config, request []byte, ep endpoint) (*conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := l.limitSegment(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c := &conn{loop: l, fd: fd, to: ep}
	c.tls = tls.Client(socket{conn: c}, config)
	go l.handshakes.run(c, to, request)
	return c, nil
}

// run does one handshake and gives the connection to the loop.
func (h *handshakes) run(c *conn, to netip.AddrPort, request []byte) {
	h.done <- handshaken{c, request, c.handshake(to)}
	// It fails only if the eventfd's counter would overflow 64 bits.
	_, _ = unix.Write(h.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (c *conn) handshake(to netip.AddrPort) error {
	if err := unix.Connect(c.fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if err := c.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if err := checkNegotiated(c.tls.ConnectionState()); err != nil {
		return err
	}
	return os.NewSyscallError("fcntl", unix.SetNonblock(c.fd, true))
}

// adopt continues the connections whose handshakes are done.
func (l *loop) adopt() {
	var rings [8]byte
	// A goroutine that wrote to the bell before this read has sent its connection before.
	_, _ = unix.Read(l.handshakes.bell, rings[:])
	for range len(l.handshakes.done) {
		h := <-l.handshakes.done
		l.place(h.conn)
		if err := l.begin(h); err != nil {
			h.conn.end(err)
		}
	}
}

// begin sends the request. It also receives what the handshake may have read too far.
func (l *loop) begin(h handshaken) error {
	if h.err != nil {
		return h.err
	}
	if err := l.watch(h.conn); err != nil {
		return err
	}
	if err := h.conn.write(h.request); err != nil {
		return err
	}
	h.conn.receive()
	return nil
}

// receiveTLS reads until there is nothing left, because epoll does not report bytes that
// crypto/tls holds.
func (c *conn) receiveTLS() {
	for c.fd >= 0 && !c.deaf {
		n, err := c.tls.Read(c.loop.buffer)
		if err == unix.EAGAIN {
			return
		}
		c.pass(n, err)
	}
}

// A socket is the connection that crypto/tls reads and writes. crypto/tls calls only Read
// and Write of it, unless its own Close or methods for deadlines are called.
type socket struct {
	net.Conn // nil
	conn     *conn
}

// Read returns EAGAIN if the socket has no bytes. EAGAIN is a temporary net.Error: the next
// read of crypto/tls continues where this one stopped.
func (s socket) Read(p []byte) (int, error) { return readSome(s.conn.fd, p) }

// Write takes all of p, because crypto/tls cannot continue after a part. During the
// handshake the kernel has room for the few bytes, so no byte is kept.
func (s socket) Write(p []byte) (int, error) { return len(p), s.conn.send(p) }
