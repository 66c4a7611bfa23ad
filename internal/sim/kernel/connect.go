package kernel

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// A Listener is a listening socket of the process.
type Listener struct {
	watched
	m      *Machine
	kind   Kind
	room   int       // how many may wait in line
	line   []*Socket // the process's ends of connections that nobody has accepted
	closed bool
}

// Listen opens a listening socket, in whose line so many clients may wait.
func (m *Machine) Listen(kind Kind, backlog int) *Listener {
	l := &Listener{m: m, kind: kind, room: backlog, watched: watched{fd: -1}}
	if err := m.open(l); err != nil {
		panic(err) // it is the first
	}
	return l
}

// FD is the descriptor.
func (l *Listener) FD() int { return l.fd }

func (l *Listener) ready() (now proxy.Ready) {
	if len(l.line) > 0 {
		now = proxy.Readable
	}
	return now
}

// Dial puts a client's connection into the line, at the moment at which its handshake
// completes, and returns the client's end. It returns ErrAgain if the line is full: the
// client of a unix socket sees that, and TCP asks again a little later.
func (l *Listener) Dial(from netip.AddrPort) (*Socket, error) {
	switch {
	case l.closed:
		return nil, unix.ECONNREFUSED
	case len(l.line) >= l.room:
		return nil, proxy.ErrAgain
	}
	theirs, ours := l.m.pair(l.kind)
	ours.from = from
	l.line = append(l.line, ours)
	l.wake(proxy.Readable)
	return theirs, nil
}

func (l *Listener) accept(shared bool) (*Socket, error) {
	if shared && len(l.line) == 0 {
		return nil, proxy.ErrAgain // AcceptShared asks first
	}
	if f := l.m.Faults.Accept; f != nil {
		if err := f(); err != nil {
			return nil, err
		}
	}
	if l.m.full() {
		return nil, unix.EMFILE // accept4 takes the descriptor first
	}
	if len(l.line) == 0 {
		return nil, proxy.ErrAgain
	}
	s := l.line[0]
	l.line = l.line[1:]
	return s, l.m.open(s)
}

// Close closes the listening socket. Those who wait in line are reset.
func (l *Listener) Close() {
	l.closed = true
	l.m.close(&l.watched)
	for _, s := range l.line {
		s.leave(true)
	}
	l.line = nil
	l.m.Advance()
}

// An Outcome is what becomes of a connection that the process asks for.
type Outcome struct {
	// Now is what Connect itself returns, as package socket of the proxy would; nil if
	// the outcome shows later.
	Now error
	// After is how long the answer takes. Unix sockets answer at once.
	After time.Duration
	// Silent says that no answer ever comes.
	Silent bool
	// Fails is how the connection fails, such as ECONNREFUSED; 0 if it does not.
	Fails unix.Errno
	// Accepted is given the peer's end when the connection is there.
	Accepted func(peer *Socket)
}

func (m *Machine) connect(to proxy.Endpoint) (*Socket, error) {
	if m.full() {
		return nil, os.NewSyscallError("socket", unix.EMFILE)
	}
	o := m.Dial(to)
	if o.Now != nil {
		return nil, o.Now
	}
	kind := TCP
	if to.Path != "" {
		kind = Unix
	}
	ours, theirs := m.pair(kind)
	if err := m.open(ours); err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if kind == Unix {
		o.Accepted(theirs)
		return ours, nil
	}
	ours.connecting = true
	if !o.Silent {
		m.schedule(m.now()+o.After, func() { ours.answered(theirs, o) })
	}
	return ours, nil
}

// answered is called when a connect has come out.
func (s *Socket) answered(peer *Socket, o Outcome) {
	switch {
	case !s.connecting: // it was closed before
	case o.Fails != 0:
		s.fail(o.Fails)
	default:
		s.connecting = false
		s.heard = s.m.now()
		s.rtt = o.After
		s.wake(0)
		o.Accepted(peer)
	}
}
