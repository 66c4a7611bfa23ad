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

// A loop serves many sockets on one goroutine, with level-triggered epoll. The backend and
// the load both use it, so that they take little CPU time from the proxy on a small
// machine.
type loop struct {
	epoll      int
	conns      []*conn // by descriptor
	buffer     []byte
	events     [512]unix.EpollEvent
	listener   int
	segment    int // the largest segment (TCP_MAXSEG) of new connections; 0: the kernel's default
	accepted   func() endpoint
	handshakes handshakes // of TLS, under way on other goroutines
}

// An endpoint handles the events of a conn. If a method returns an error, the conn ends.
type endpoint interface {
	// received gets the bytes of one read. It must not keep p.
	received(c *conn, p []byte) error
	// drained is called when the kernel has taken all bytes that had to wait.
	drained(c *conn) error
	// ended is the last call. err is io.EOF after the peer's FIN, and nil after end(nil).
	ended(c *conn, err error)
}

// A conn is one non-blocking socket of a loop.
type conn struct {
	loop *loop
	fd   int // -1 once ended
	to   endpoint
	tls  *tls.Conn // nil if the connection is plain
	out  []byte    // bytes the kernel has not taken yet
	deaf bool      // it is not read any more
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

// close closes the loop's own descriptors. Its connections must have ended.
func (l *loop) close() {
	unix.Close(l.epoll)
	unix.Close(l.handshakes.bell)
}

// anyPort is a free port on loopback.
var anyPort = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)

// listen accepts connections at an IPv4 address. It calls accepted for each one's endpoint.
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

// dial begins a connection whose first bytes will be request. If the connection fails, the
// write of the request returns the error.
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

// limitSegment sets the largest segment of a socket before it connects.
func (l *loop) limitSegment(fd int) error {
	if l.segment == 0 {
		return nil
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, l.segment))
}

// add hands a socket to the loop. out are bytes to be written as soon as possible.
func (l *loop) add(fd int, ep endpoint, out []byte) (*conn, error) {
	c := &conn{loop: l, fd: fd, to: ep, out: slices.Clip(out)}
	l.place(c)
	if err := l.watch(c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// place puts a conn into the table.
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

// turn waits for the first event, but no longer than wait. Then it serves all events that
// have come.
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

// serve handles one socket's events. It skips a socket that ended earlier in the same
// turn. If a new socket has got the same number since, the new one is read and has
// nothing to read, which does no harm.
func (l *loop) serve(c *conn, events uint32) {
	if c != nil && events&unix.EPOLLOUT != 0 {
		c.flush()
	}
	if c != nil && c.fd >= 0 && events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.receive()
	}
}

// accept accepts all waiting connections.
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

// receive reads once and passes the result to the endpoint.
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

// pass gives the endpoint the result of a read into the loop's buffer.
func (c *conn) pass(n int, err error) {
	if err == nil {
		err = c.to.received(c, c.loop.buffer[:n])
	}
	if err != nil {
		c.end(err)
	}
}

// write sends p, encrypted if c has TLS. It keeps the bytes that the kernel does not take.
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

// send is like write, without encryption.
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

// flush sends the bytes that had to wait.
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

// readSome reads once. It returns EAGAIN if there are no bytes, and io.EOF after the
// peer's FIN.
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

// writeSome writes once. It returns 0 and no error if the socket is full.
func writeSome(fd int, p []byte) (int, error) {
	n, err := unix.Write(fd, p)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	return max(n, 0), os.NewSyscallError("write", err)
}

// interest returns the events for which the socket is watched.
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

// deafBuffer is the size of a deaf socket's send buffer in the kernel.
const deafBuffer = 16 << 10

// deafen stops reading the socket. It makes the kernel's send buffer small, so that bytes
// to be sent wait in this process.
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

// close closes the descriptor without a call of ended. It sends no close_notify, which
// shows that the stream is complete (RFC 8446 section 6.1): WebSocket's Close shows that.
func (c *conn) close() {
	unix.Close(c.fd)
	c.loop.conns[c.fd] = nil
	c.fd = -1
}
