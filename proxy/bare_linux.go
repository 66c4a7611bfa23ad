package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// errAgain says that a descriptor is not ready.
var errAgain = socket.ErrAgain

// bare is the transport of a connection without TLS: a descriptor that does not block.
type bare int

func (s bare) FD() int { return int(s) }

func (s bare) Read(into []byte, most int) (int, error) {
	return socket.Receive(int(s), into[:min(len(into), most)])
}

func (s bare) Write(p []byte) (int, error)     { return socket.Send(int(s), p, false) }
func (s bare) WriteLast(p []byte) (int, error) { return socket.Send(int(s), p, true) }

func (s bare) Position(taken uint64) int64 { return int64(taken) }
func (s bare) Unacked() int                { return socket.Unacked(int(s)) }
func (s bare) Unsent() int                 { return socket.Unsent(int(s)) }
func (s bare) Unread() int                 { return socket.Unread(int(s)) }
func (s bare) LastACKs() socket.ACKs       { return socket.LastACKs(int(s)) }
func (s bare) Unlimit()                    { socket.UnlimitBackoff(int(s)) }

func (s bare) CloseWrite() error { return socket.Shutdown(int(s), unix.SHUT_WR) }
func (s bare) Close() error      { return socket.Close(int(s)) }

// Detach: the standard library makes a duplicate of the descriptor; ours is closed.
// What is closed there is closed without socket.Close.
func (s bare) Detach() (net.Conn, error) {
	socket.UnlimitBackoff(int(s))
	f := os.NewFile(uintptr(s), "socket")
	defer f.Close()
	return net.FileConn(f)
}

// attachBare is the way back from Detach.
func attachBare(c net.Conn) (bare, error) {
	defer c.Close()
	fd, err := socket.Duplicate(c.(syscall.Conn))
	return bare(fd), err
}

// call is a raw system call that does not block.
func call(number, a, b, c uintptr) error {
	if _, _, errno := syscall.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// accept takes one connection from a listening descriptor.
func accept(listener int) (bare, netip.AddrPort, error) {
	for {
		var from unix.RawSockaddrInet6 // the longest that there is
		size := uint32(unix.SizeofSockaddrInet6)
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener),
			uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return bare(fd), addrPort(&from), nil
		case unix.EAGAIN:
			return 0, netip.AddrPort{}, errAgain
		case unix.EINTR, unix.ECONNABORTED: // that one is gone; there may be others
		default:
			return 0, netip.AddrPort{}, errno
		}
	}
}

// acceptShared is accept for a listening socket that other processes may have too,
// as systemd or another service does. Whether its calls block belongs to the socket
// and not to the descriptor: any of them can change it for all, and an accept that
// finds no client would then hold the loop until one comes. So accept is called
// only where a client waits, and with the socket set to not block just before. It
// could still block if within that moment another process both changed the socket
// back and took the client.
//
// SO_RCVTIMEO would bound such a wait, but the connections of the other processes
// would inherit it.
func acceptShared(listener int) (bare, netip.AddrPort, error) {
	waiting := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	if n, _ := unix.Poll(waiting, 0); n < 1 {
		return 0, netip.AddrPort{}, errAgain // after an error it is asked again in the next turn
	}
	if err := unix.SetNonblock(listener, true); err != nil {
		return 0, netip.AddrPort{}, err
	}
	return accept(listener)
}

// connect begins a connection. The outcome shows in the first write: it finds
// the connection there, or is told errAgain or why it will never be. A unix
// socket whose queue is full says errAgain at once.
func connect(to endpoint, opts socketOptions) (bare, error) {
	addr, size := to.sockaddr()
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(addr.Family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return 0, os.NewSyscallError("socket", errno)
	}
	s := bare(fd)
	if addr.Family != unix.AF_UNIX {
		if err := opts.apply(int(fd)); err != nil {
			_ = s.Close() // the first error is the one to tell
			return 0, err
		}
		// What we send at once carries the ACK that completes TCP's handshake.
		_ = setTCPOption(int(fd), unix.TCP_QUICKACK, 0) // without it there is a segment more
	}
	err := call(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&addr)), uintptr(size))
	switch err {
	case nil, unix.EINPROGRESS, unix.EINTR:
		if err = s.notItself(to); err == nil {
			return s, nil
		}
	case unix.EAGAIN:
		err = errAgain
	case unix.EADDRNOTAVAIL:
		err = whyNotAvailable(to)
	default:
		err = os.NewSyscallError("connect", err)
	}
	_ = s.Close() // as above
	return 0, err
}

var (
	errItself   = errors.New("nobody listens: the connection reached itself")
	errNoSource = errors.New("this host has no address from which it could be reached")
)

// notItself returns an error if the kernel has given a connection to a port of
// this host that same port for its own end: TCP makes a connection of the two,
// where nobody listens. Such a connection is to be closed at once, and by a reset:
// its port is the service's, which could not be bound for a minute otherwise.
func (s bare) notItself(to endpoint) error {
	if !to.addr.IsValid() {
		return nil
	}
	var name unix.RawSockaddrInet6 // the longest that there is
	size := uint32(unix.SizeofSockaddrInet6)
	if err := call(unix.SYS_GETSOCKNAME, uintptr(s), uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size))); err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	own, ip := addrPort(&name), to.addr.Addr().WithZone("")
	if own.Port() != to.addr.Port() || own.Addr() != ip && !(ip.IsUnspecified() && own.Addr().IsLoopback()) {
		return nil
	}
	_ = unix.SetsockoptLinger(int(s), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // it fails for no socket
	return errItself
}

// whyNotAvailable tells what connect's EADDRNOTAVAIL means: that no port is left
// for another connection to that address, or that this host has no address of its
// family. In the second case UDP, whose ports are others, has none either.
func whyNotAvailable(to endpoint) error {
	addr, size := to.sockaddr()
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(addr.Family), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	err := call(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&addr)), uintptr(size))
	_ = bare(fd).Close() // nothing is in it
	if err == unix.EADDRNOTAVAIL {
		return errNoSource
	}
	return fmt.Errorf("no local port is left for a connection to the upstream: %w", unix.EADDRNOTAVAIL)
}

// Connected asks the socket for its error.
func (s bare) Connected() error {
	failure, err := unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	if failure != 0 {
		return os.NewSyscallError("connect", syscall.Errno(failure))
	}
	return nil
}

// socketOptions are set on a listener, whose connections inherit them on
// Linux, and on every connection to an upstream.
type socketOptions struct {
	userTimeout int32 // milliseconds; 0 leaves the kernel's default
	rtoMax      int32 // likewise
	keepAlive   int32 // seconds of silence after which the kernel probes the peer; 0 means never
}

func (o socketOptions) apply(fd int) error {
	if err := setTCPOption(fd, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if err := socket.LimitBackoff(fd, int(o.rtoMax)); err != nil {
		return os.NewSyscallError("setsockopt TCP_RTO_MAX_MS", err)
	}
	if o.keepAlive != 0 {
		const probes = 4 // that a peer may leave unanswered, within as long again
		err := errors.Join(
			setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
			setTCPOption(fd, unix.TCP_KEEPIDLE, o.keepAlive),
			setTCPOption(fd, unix.TCP_KEEPINTVL, max(1, o.keepAlive/probes)),
			setTCPOption(fd, unix.TCP_KEEPCNT, probes),
		)
		if err != nil {
			return os.NewSyscallError("setsockopt SO_KEEPALIVE", err)
		}
	}
	if o.userTimeout == 0 {
		return nil
	}
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", setTCPOption(fd, unix.TCP_USER_TIMEOUT, o.userTimeout))
}

func setTCPOption(fd int, option uintptr, value int32) error {
	return setOption(fd, unix.IPPROTO_TCP, option, value)
}

func setOption(fd int, level, option uintptr, value int32) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), level, option,
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// sockaddr is an address as connect(2) takes it, in memory that has room for
// those of all families.
func (e endpoint) sockaddr() (addr unix.RawSockaddrUnix, size int) {
	ip := e.addr.Addr()
	switch {
	case e.path != "":
		addr.Family = unix.AF_UNIX
		for i := range min(len(e.path), len(addr.Path)-1) {
			addr.Path[i] = int8(e.path[i])
		}
		return addr, unix.SizeofSockaddrUnix
	case ip.Is4():
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&addr))
		in.Family, in.Port, in.Addr = unix.AF_INET, networkOrder(e.addr.Port()), ip.As4()
		return addr, unix.SizeofSockaddrInet4
	default:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&addr))
		in.Family, in.Port, in.Addr = unix.AF_INET6, networkOrder(e.addr.Port()), ip.As16()
		in.Scope_id = zoneID(ip.Zone())
		return addr, unix.SizeofSockaddrInet6
	}
}

// addrPort is the reverse of sockaddr; the zero AddrPort for unix sockets.
func addrPort(addr *unix.RawSockaddrInet6) netip.AddrPort {
	switch addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(addr))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkOrder(in.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(addr.Addr).Unmap(), networkOrder(addr.Port))
	}
	return netip.AddrPort{}
}

// networkOrder turns a port into big-endian memory, and back.
func networkOrder(port uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(port >> 8), byte(port)})
}
