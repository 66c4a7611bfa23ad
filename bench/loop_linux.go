package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBufferSize = 256 << 10
	listenBacklog  = 4096
	forever        = -time.Millisecond // a wait without an end
)

// A loop serves many sockets on one goroutine with epoll, level-triggered. Backend
// and load both run on it, so that on a small machine they take as little as
// possible of what the proxy under test needs.
type loop struct {
	epoll      int
	conns      []*conn // by descriptor
	buffer     []byte
	events     [512]unix.EpollEvent
	listener   int
	segment    int // the largest segment of connections dialled from now on; 0 is the kernel's
	accepted   func() endpoint
	handshakes handshakes // of TLS, under way on other goroutines
}

// An endpoint is what a conn tells of its events. An error returned ends the conn.
type endpoint interface {
	// received is lent the bytes of one read.
	received(c *conn, p []byte) error
	// drained says that the kernel has taken all that had to wait.
	drained(c *conn) error
	// ended is the last call. err is io.EOF after the peer's FIN, nil after close(nil).
	ended(c *conn, err error)
}

// A conn is one non-blocking socket of a loop.
type conn struct {
	loop *loop
	fd   int // -1 once ended
	to   endpoint
	tls  *tls.Conn // nil if the connection is plain
	out  []byte    // bytes the kernel has not taken yet
	deaf bool      // nothing is read any more
}

func newLoop() (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	l := &loop{epoll: epoll, buffer: make([]byte, readBufferSize), listener: -1}
	if l.handshakes, err = newHandshakes(); err != nil {
		return nil, err
	}
	return l, l.control(unix.EPOLL_CTL_ADD, l.handshakes.bell, unix.EPOLLIN)
}

// close gives back the loop's own descriptors. Its connections must have ended.
func (l *loop) close() {
	unix.Close(l.epoll)
	unix.Close(l.handshakes.bell)
}

// anyPort is a free port on loopback.
var anyPort = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)

// listen accepts at an IPv4 address and gives each socket a new endpoint.
func (l *loop) listen(at netip.AddrPort, accepted func() endpoint) (netip.AddrPort, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return netip.AddrPort{}, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, listenBacklog); err != nil {
		return netip.AddrPort{}, os.NewSyscallError("listen", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	l.listener, l.accepted = fd, accepted
	address := name.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(address.Addr), uint16(address.Port)),
		l.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

// dial begins a connection whose first bytes will be request. Whether it succeeds
// shows when the request is written.
func (l *loop) dial(to netip.AddrPort, request []byte, ep endpoint) (*conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := l.limitSegment(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return l.add(fd, ep, request)
}

// limitSegment prepares a socket that is to connect.
func (l *loop) limitSegment(fd int) error {
	if l.segment == 0 {
		return nil
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, l.segment))
}

// add makes a socket the loop's own, with bytes that wait for it to take them.
func (l *loop) add(fd int, ep endpoint, out []byte) (*conn, error) {
	c := &conn{loop: l, fd: fd, to: ep, out: slices.Clip(out)}
	l.place(c)
	if err := l.watch(c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// place gives a socket its place in the table.
func (l *loop) place(c *conn) {
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
}

// watch begins to serve a socket's events.
func (l *loop) watch(c *conn) error {
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return l.control(unix.EPOLL_CTL_ADD, c.fd, c.interest())
}

func (l *loop) control(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
}

// turn serves the events that are there, after waiting for the first at most so
// long.
func (l *loop) turn(wait time.Duration) error {
	n, err := unix.EpollWait(l.epoll, l.events[:], int(wait.Milliseconds()))
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("epoll_wait", err)
	}
	for i := range max(n, 0) {
		event := &l.events[i]
		switch int(event.Fd) {
		case l.listener:
			if err := l.accept(); err != nil {
				return err
			}
		case l.handshakes.bell:
			l.adopt()
		default:
			l.serve(l.conns[event.Fd], event.Events)
		}
	}
	return nil
}

// serve handles one socket's events. A socket that ended earlier in the same turn
// is skipped; if its number has been given away since, the new owner finds
// nothing to read, which does no harm.
func (l *loop) serve(c *conn, events uint32) {
	if c != nil && events&unix.EPOLLOUT != 0 {
		c.flush()
	}
	if c != nil && c.fd >= 0 && events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.receive()
	}
}

// accept takes all connections that wait.
func (l *loop) accept() error {
	for {
		fd, _, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.ECONNABORTED, unix.EINTR:
			continue
		default:
			return os.NewSyscallError("accept4", err)
		}
		if _, err := l.add(fd, l.accepted(), nil); err != nil {
			return err
		}
	}
}

// receive passes on what one read yields.
func (c *conn) receive() {
	if c.tls != nil {
		c.receiveTLS()
		return
	}
	n, err := readSome(c.fd, c.loop.buffer)
	if err == unix.EAGAIN {
		return
	}
	c.pass(n, err)
}

// pass gives the endpoint what a read into the loop's buffer has yielded.
func (c *conn) pass(n int, err error) {
	if err == nil {
		err = c.to.received(c, c.loop.buffer[:n])
	}
	if err != nil {
		c.end(err)
	}
}

// write sends p, encrypted if the connection is, or keeps what the kernel does not
// take.
func (c *conn) write(p []byte) error {
	if c.fd < 0 {
		return fmt.Errorf("write: %w", io.ErrClosedPipe)
	}
	if c.tls != nil {
		_, err := c.tls.Write(p)
		return err
	}
	return c.send(p)
}

// send is write for bytes as they go over the wire.
func (c *conn) send(p []byte) error {
	if len(c.out) > 0 {
		c.out = append(c.out, p...)
		return nil
	}
	n, err := writeSome(c.fd, p)
	if err != nil || n == len(p) {
		return err
	}
	c.out = append(c.out, p[n:]...)
	return c.loop.control(unix.EPOLL_CTL_MOD, c.fd, c.interest())
}

// flush sends what had to wait.
func (c *conn) flush() {
	n, err := writeSome(c.fd, c.out)
	if err != nil {
		c.end(err)
		return
	}
	c.out = c.out[n:]
	if len(c.out) > 0 {
		return
	}
	c.out = nil
	if err := c.loop.control(unix.EPOLL_CTL_MOD, c.fd, c.interest()); err != nil {
		c.end(err)
		return
	}
	if err := c.to.drained(c); err != nil {
		c.end(err)
	}
}

// readSome reads once. An empty socket is EAGAIN, the peer's FIN is io.EOF.
func readSome(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, err
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// writeSome writes once; a full socket takes 0 bytes and is no error.
func writeSome(fd int, p []byte) (int, error) {
	n, err := unix.Write(fd, p)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	return max(n, 0), os.NewSyscallError("write", err)
}

// interest is the set of events that the socket is watched for.
func (c *conn) interest() uint32 {
	var events uint32
	if !c.deaf {
		events |= unix.EPOLLIN
	}
	if len(c.out) > 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// deafBuffer is what the kernel buffers of what a deaf socket sends.
const deafBuffer = 16 << 10

// deafen has the socket read no more. What it still sends waits here rather than in the kernel.
func (c *conn) deafen() error {
	c.deaf = true
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, deafBuffer); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return c.loop.control(unix.EPOLL_CTL_MOD, c.fd, c.interest())
}

// end closes the socket, once.
func (c *conn) end(err error) {
	if c.fd < 0 {
		return
	}
	c.close()
	c.to.ended(c, err)
}

// close gives the descriptor back and tells nobody. It sends no close_notify, which is
// there to show that nothing was cut off (RFC 8446 section 6.1): WebSocket's Close is.
func (c *conn) close() {
	unix.Close(c.fd)
	c.loop.conns[c.fd] = nil
	c.fd = -1
}
