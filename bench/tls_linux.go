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

// loadTLS is how the load connects to a proxy that shows the certificate in PEM. It
// offers only TLS 1.3 and X25519, so that all proxies do the same work.
func loadTLS(certificate []byte) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		return nil, errors.New("the certificate for TLS is no PEM")
	}
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
		NextProtos:       []string{"http/1.1"},
		RootCAs:          roots,
		ServerName:       certificateHost,
		// Without a cache crypto/tls does not ask for tickets, and a proxy would be
		// spared the work that browsers ask of it.
		ClientSessionCache: forgetful{},
	}, nil
}

// forgetful is a cache that finds nothing: every handshake is a full one.
type forgetful struct{}

func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (forgetful) Put(string, *tls.ClientSessionState)        {}

// checkNegotiated finds a proxy that does other work than the others. The load's own
// first choice is AES-128, or ChaCha20 on a machine without instructions for AES.
func checkNegotiated(state tls.ConnectionState) error {
	if state.CipherSuite == tls.TLS_AES_256_GCM_SHA384 {
		return errors.New("TLS: the proxy has chosen AES-256 over what the load prefers; the others do not")
	}
	return nil
}

// handshakes are those of TLS. crypto/tls cannot leave one and come back to it, so each
// has a goroutine and a blocking socket for itself.
type handshakes struct {
	done chan handshaken
	bell int // an eventfd that wakes the loop when one is done
}

// A handshaken connection is the loop's again, as its endpoint is.
type handshaken struct {
	conn    *conn
	request []byte
	err     error
}

func newHandshakes() (handshakes, error) {
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return handshakes{make(chan handshaken, dialWindow), bell}, os.NewSyscallError("eventfd", err)
}

// dialTLS begins a connection whose first bytes will be request, encrypted. Until its
// handshake is done it belongs to the goroutine that does it, and is not in the table.
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
	// It fails only when the bell has been rung 2^64 times and nobody came.
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

// adopt goes on with the connections whose handshakes are done.
func (l *loop) adopt() {
	var rings [8]byte
	// Whoever rang before this read has put its connection into the channel before.
	_, _ = unix.Read(l.handshakes.bell, rings[:])
	for range len(l.handshakes.done) {
		h := <-l.handshakes.done
		l.place(h.conn)
		if err := l.begin(h); err != nil {
			h.conn.end(err)
		}
	}
}

// begin sends the request and reads what the handshake may have read too far.
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

// receiveTLS passes on all that there is: what crypto/tls has read and not given out,
// epoll does not know of.
func (c *conn) receiveTLS() {
	for c.fd >= 0 && !c.deaf {
		n, err := c.tls.Read(c.loop.buffer)
		if err == unix.EAGAIN {
			return
		}
		c.pass(n, err)
	}
}

// A socket is what crypto/tls sees of a conn. It calls nothing of a net.Conn but Read
// and Write, as long as nobody calls its Close or sets deadlines.
type socket struct {
	net.Conn // nil
	conn     *conn
}

// Read answers an empty socket with EAGAIN, a net.Error that says it is temporary: after
// such a one crypto/tls goes on where it was.
func (s socket) Read(p []byte) (int, error) { return readSome(s.conn.fd, p) }

// Write takes all of p, since crypto/tls could not go on after a part. In the handshake
// the kernel has room for the few bytes there are, so nothing is kept.
func (s socket) Write(p []byte) (int, error) { return len(p), s.conn.send(p) }
