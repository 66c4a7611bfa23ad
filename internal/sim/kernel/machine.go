package kernel

import (
	"crypto/tls"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// A Machine is the kernel below one process, and the network around it. Its fields are
// set before the first call.
type Machine struct {
	// Dial decides what becomes of a connection that the process asks for.
	Dial func(to proxy.Endpoint) Outcome
	// TLS puts TLS around a connection of the process. hello is nil for an upstream's.
	TLS func(conn proxy.Transport, hello []byte, config *tls.Config) proxy.Secured
	// Detach gives a connection of the process to what runs beside its loops. It may be
	// nil: then the connection is closed.
	Detach func(s *Socket) (net.Conn, error)
	// Misused is told of a call on a connection that the caller has closed. It may be nil.
	Misused func(call string, s *Socket)
	// Trace is told of each call of the process. It may be nil.
	Trace func(format string, args ...any)
	// Faults are what goes wrong with the calls of the process.
	Faults Faults

	Files         int           // how many descriptors there may be
	SendBuffer    int           // in bytes, of each new connection; see Socket.SetSendBuffer
	ReceiveBuffer int           // the same
	UserTimeout   time.Duration // TCP_USER_TIMEOUT; 0 is none
	RetryLimit    time.Duration // TCP_RTO_MAX_MS, the longest wait before TCP sends again

	now      func() time.Duration
	files    []file // by descriptor, from firstFD on; nil is free
	queue    events
	order    uint64 // of the latest event
	settling bool
	made     int // connections
}

// Faults are decided call by call. A field that is nil makes none.
type Faults struct {
	// Read and Write return how many bytes the call may move, at most size. 0 makes it
	// fail with ErrAgain, although the connection may be ready.
	Read, Write func(s *Socket, size int) int
	// Control returns the error of an epoll_ctl, and nil for none.
	Control func(fd int) error
	// Accept returns the error of an accept, and nil for none. The client stays in line.
	Accept func() error
	// Panic may panic. It is asked before a call does its work, and some calls ask it
	// behind their work, too. A close asks it behind its work only. s is nil if the call
	// is about a listener, or makes a connection.
	Panic func(call string, s *Socket)
}

// firstFD is the lowest descriptor of the process. A number that reaches the real kernel
// by mistake is nobody's there.
const firstFD = 1000

// New makes a Machine that lives by a clock, which never goes back.
func New(clock func() time.Duration) *Machine {
	return &Machine{
		now:           clock,
		Files:         1 << 20,
		SendBuffer:    64 << 10,
		ReceiveBuffer: 64 << 10,
		RetryLimit:    retryLimit,
	}
}

// A file is what a descriptor stands for.
type file interface {
	ready() proxy.Ready
	base() *watched
}

// watched is what a file's descriptor and its registrations are kept in.
type watched struct {
	fd   int             // -1 for a file that is not the process's
	regs []*registration // one for each Poller at the most
}

func (w *watched) base() *watched { return w }

// wake puts the file into the ready list of each Poller that wants one of the
// conditions. 0 stands for all, as it does in the kernel's wake-ups.
func (w *watched) wake(what proxy.Ready) {
	for _, r := range w.regs {
		if what == 0 || what&r.wants() != 0 {
			r.enqueue()
		}
	}
}

// open gives a file the lowest free descriptor.
func (m *Machine) open(f file) error {
	for i, held := range m.files {
		if held == nil {
			m.files[i], f.base().fd = f, firstFD+i
			return nil
		}
	}
	if len(m.files) >= m.Files {
		return unix.EMFILE
	}
	m.files = append(m.files, f)
	f.base().fd = firstFD + len(m.files) - 1
	return nil
}

// full reports whether no descriptor is left.
func (m *Machine) full() bool { return len(m.files) >= m.Files && m.Open() == len(m.files) }

// Open is how many descriptors the process has.
func (m *Machine) Open() (n int) {
	for _, f := range m.files {
		if f != nil {
			n++
		}
	}
	return n
}

// close frees a file's descriptor, and forgets all registrations of it.
func (m *Machine) close(w *watched) {
	for _, r := range w.regs {
		r.forget()
	}
	m.files[w.fd-firstFD], w.regs, w.fd = nil, nil, -1
}

// at finds the file of a descriptor, and nil if there is none.
func (m *Machine) at(fd int) file {
	if i := fd - firstFD; 0 <= i && i < len(m.files) {
		return m.files[i]
	}
	return nil
}

// mayPanic gives a call of the process the chance to panic.
func (m *Machine) mayPanic(call string, s *Socket) {
	if m.Faults.Panic != nil && (s == nil || s.fd >= 0) {
		m.Faults.Panic(call, s)
	}
}

func (m *Machine) trace(format string, args ...any) {
	if m.Trace != nil {
		m.Trace("%v "+format, append([]any{m.now()}, args...)...)
	}
}
