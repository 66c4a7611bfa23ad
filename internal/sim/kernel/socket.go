package kernel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// A Kind is a family of connections.
type Kind uint8

const (
	TCP Kind = iota
	Unix
)

// A Socket is one end of a connection. The process's has a descriptor and is used as a
// proxy.Transport; a peer's has none.
type Socket struct {
	watched
	// Out is the way of what is written here to the other end, and of TCP's
	// acknowledgements.
	Out Path
	// Notify is called when what Ready returns may have changed. It is called in the
	// middle of other calls, so it must call nothing of this package. It may be nil.
	Notify func()

	m          *Machine
	kind       Kind
	number     int // of the connection
	peer       *Socket
	from       netip.AddrPort
	closed     bool // by who had it
	shutRead   bool // RCV_SHUTDOWN
	shutWrite  bool // SEND_SHUTDOWN
	connecting bool // SYN_SENT
	err        unix.Errno
	sendRoom   int
	readRoom   int
	in         []byte // arrived, and not read
	got        int64  // bytes that were read
	stream
}

var _ proxy.Transport = (*Socket)(nil)

// pair makes the two ends of a connection.
func (m *Machine) pair(kind Kind) (a, b *Socket) {
	m.made++
	end := func() *Socket {
		s := &Socket{m: m, kind: kind, number: m.made, sendRoom: m.SendBuffer, readRoom: m.ReceiveBuffer}
		s.fd, s.lostFrom, s.heard = -1, never, m.now()
		return s
	}
	a, b = end(), end()
	a.peer, b.peer = b, a
	a.offered, b.offered = int64(a.readRoom), int64(b.readRoom)
	a.edge, b.edge = b.offered, a.offered
	return a, b
}

// Pair makes a connection whose ends are both the process's.
func (m *Machine) Pair(kind Kind) (a, b *Socket) {
	a, b = m.pair(kind)
	for _, s := range []*Socket{a, b} {
		if err := m.open(s); err != nil {
			panic(err) // it is for tests
		}
	}
	return a, b
}

// String names a Socket in a trace.
func (s *Socket) String() string {
	switch {
	case s.fd >= 0:
		return fmt.Sprintf("fd %d", s.fd)
	case s.closed:
		return fmt.Sprintf("closed end of connection %d", s.number)
	default:
		return fmt.Sprintf("peer of connection %d", s.number)
	}
}

// Peer is the other end.
func (s *Socket) Peer() *Socket { return s.peer }

// Number is the connection's: the first is 1.
func (s *Socket) Number() int { return s.number }

// Closed reports whether Close, Reset or Detach was called.
func (s *Socket) Closed() bool { return s.closed }

// SetSendBuffer changes how many bytes the kernel holds that were written and are not
// acknowledged.
func (s *Socket) SetSendBuffer(size int) { s.sendRoom = size }

// SetReceiveBuffer changes how many bytes the kernel holds that have arrived and were not
// read. TCP never takes back a window that it has offered.
func (s *Socket) SetReceiveBuffer(size int) {
	s.readRoom = size
	if s.kind == TCP && !s.dead {
		s.offer()
	}
	s.m.Advance()
}

// Ready is what epoll would report of the socket.
func (s *Socket) Ready() proxy.Ready {
	s.m.Advance()
	return s.ready()
}

func (s *Socket) ready() (now proxy.Ready) {
	if s.shutRead && s.shutWrite || s.dead {
		now |= unix.EPOLLHUP
	}
	if s.shutRead {
		now |= proxy.Readable | proxy.PeerEnded
	}
	if len(s.in) > 0 {
		now |= proxy.Readable
	}
	if !s.connecting && s.writable() {
		now |= proxy.Writable
	}
	if s.err != 0 {
		now |= unix.EPOLLERR
	}
	return now
}

// writable is __sk_stream_is_writeable of TCP, and unix_writable: a third of the send
// buffer is free, or three quarters of it.
func (s *Socket) writable() bool {
	if s.kind == Unix {
		return 4*len(s.peer.in) <= s.sendRoom
	}
	return s.shutWrite || s.sendRoom-len(s.out) >= len(s.out)/2
}

// staysWritable reports whether the socket is writable when it has taken n bytes more. Then
// a write that falls short is followed by an event. Otherwise Linux takes all that it can.
func (s *Socket) staysWritable(n int) bool {
	return s.kind == Unix || s.sendRoom-len(s.out)-n >= (len(s.out)+n)/2
}

// wake is watched.wake, and tells Notify.
func (s *Socket) wake(what proxy.Ready) {
	s.watched.wake(what)
	if s.Notify != nil {
		s.Notify()
	}
}

// takeError is sock_error: an error is told once.
func (s *Socket) takeError() (err unix.Errno) {
	err, s.err = s.err, 0
	return err
}

// usable begins a call: it does what is due, and reports whether the socket is open.
func (s *Socket) usable(call string) bool {
	s.m.Advance()
	if s.closed && s.m.Misused != nil {
		s.m.Misused(call, s)
	}
	if !s.closed && call != "close" {
		s.m.mayPanic(call, s)
	}
	return !s.closed
}

// done ends a call.
func (s *Socket) done(call string, n int, err error) (int, error) {
	if s.fd >= 0 && s.m.Trace != nil {
		s.m.trace("%v %s: %d, %v", s, call, n, err)
	}
	s.m.Advance()
	s.m.mayPanic(call, s)
	return n, err
}

// FD implements proxy.Transport.
func (s *Socket) FD() int { return s.fd }

// Read implements proxy.Transport.
func (s *Socket) Read(b []byte, most int) (int, error) {
	if !s.usable("read") {
		return 0, unix.EBADF
	}
	n, err := s.read(b[:min(len(b), most)])
	return s.done("read", n, err)
}

func (s *Socket) read(b []byte) (int, error) {
	if f := s.m.Faults.Read; f != nil && s.fd >= 0 {
		if b = b[:f(s, len(b))]; len(b) == 0 {
			return 0, proxy.ErrAgain
		}
	}
	if len(s.in) > 0 {
		n := copy(b, s.in)
		s.in = s.in[n:]
		s.got += int64(n)
		if s.kind == Unix {
			s.peer.spaceFreed()
		} else {
			s.offer()
		}
		return n, nil
	}
	if s.finIn {
		return 0, io.EOF // SOCK_DONE comes before an error
	}
	if err := s.takeError(); err != 0 {
		return 0, err
	}
	if s.shutRead {
		return 0, io.EOF
	}
	if s.dead {
		return 0, unix.ENOTCONN // shut down before it was connected
	}
	return 0, proxy.ErrAgain
}

// Got is how many bytes were read.
func (s *Socket) Got() int64 { return s.got }

// Write implements proxy.Transport.
func (s *Socket) Write(b []byte) (int, error) {
	if !s.usable("write") {
		return 0, unix.EBADF
	}
	n, err := s.write(b)
	return s.done("write", n, err)
}

// WriteLast implements proxy.Transport. Nothing is held back.
func (s *Socket) WriteLast(b []byte) (int, error) { return s.Write(b) }

func (s *Socket) write(b []byte) (int, error) {
	if f := s.m.Faults.Write; f != nil && s.fd >= 0 {
		if n := f(s, len(b)); s.staysWritable(n) {
			b = b[:n]
		}
		if len(b) == 0 {
			return 0, proxy.ErrAgain
		}
	}
	if s.kind == Unix {
		return s.writeUnix(b)
	}
	return s.writeTCP(b)
}

// Position implements proxy.Transport.
func (s *Socket) Position(taken uint64) int64 { return int64(taken) }

// Unacked implements proxy.Transport.
func (s *Socket) Unacked() int {
	if !s.usable("unacked") {
		return 0
	}
	if s.kind == Unix {
		return len(s.peer.in)
	}
	return s.unacked()
}

// Unsent implements proxy.Transport.
func (s *Socket) Unsent() int {
	if !s.usable("unsent") {
		return 0
	}
	if s.kind == Unix {
		return len(s.peer.in)
	}
	return s.unsent()
}

// Unread implements proxy.Transport.
func (s *Socket) Unread() int {
	if !s.usable("unread") {
		return 0
	}
	return len(s.in)
}

// LastACKs implements proxy.Transport.
func (s *Socket) LastACKs() proxy.ACKs {
	if !s.usable("last acks") || s.kind == Unix {
		return proxy.ACKs{}
	}
	return proxy.ACKs{
		Last: (s.m.now() - s.heard).Truncate(time.Millisecond),
		Gap:  s.gapThere,
		Full: s.full(),
		RTT:  s.rtt,
		Data: (s.m.now() - s.fed).Truncate(time.Millisecond),
	}
}

// Unlimit implements proxy.Transport.
func (s *Socket) Unlimit() { s.unlimited = s.usable("unlimit") }

// Outlast implements proxy.Transport.
func (s *Socket) Outlast() { s.outlasts = s.usable("outlast") }

// Connected implements proxy.Transport.
func (s *Socket) Connected() error {
	if !s.usable("connected") {
		return os.NewSyscallError("getsockopt SO_ERROR", unix.EBADF)
	}
	var err error
	if failure := s.takeError(); failure != 0 {
		err = os.NewSyscallError("connect", failure)
	}
	_, err = s.done("connected", 0, err)
	return err
}

// CloseWrite implements proxy.Transport.
func (s *Socket) CloseWrite() error {
	if !s.usable("close write") {
		return unix.EBADF
	}
	var err error
	if s.kind == Unix {
		s.shutdownUnix(false, true)
	} else {
		err = s.closeWriteTCP()
	}
	_, err = s.done("close write", 0, err)
	return err
}

// CloseRead is shutdown(SHUT_RD) of a unix socket.
func (s *Socket) CloseRead() {
	s.shutdownUnix(true, false)
	s.m.Advance()
}

// Close implements proxy.Transport.
func (s *Socket) Close() error { return s.end("close", false) }

// Reset closes a TCP connection with SO_LINGER of 0: the peer gets a reset.
func (s *Socket) Reset() error { return s.end("reset", s.kind == TCP) }

func (s *Socket) end(call string, reset bool) error {
	if !s.usable(call) {
		return unix.EBADF
	}
	ours := s.fd >= 0
	if ours {
		s.m.trace("%v %s", s, call)
		s.m.close(&s.watched)
	}
	s.leave(reset)
	s.m.Advance()
	if ours && s.m.Faults.Panic != nil {
		s.m.Faults.Panic(call, s)
	}
	return nil
}

// leave gives the connection up. With reset, or if something was not read, the peer
// learns that something was thrown away.
func (s *Socket) leave(reset bool) {
	s.closed = true
	reset = reset || len(s.in) > 0
	if s.kind == Unix {
		s.closeUnix(reset)
	} else {
		s.closeTCP(reset)
	}
}

// Detach implements proxy.Transport.
func (s *Socket) Detach() (net.Conn, error) {
	if s.m.Detach != nil {
		return s.m.Detach(s)
	}
	return nil, errors.Join(errors.ErrUnsupported, s.Close())
}
