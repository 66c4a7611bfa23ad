package kernel

import (
	"crypto/tls"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// maxEvents is how many events a Poll of production returns at the most.
const maxEvents = 256

// A Poller is an epoll instance of the process, level-triggered. It implements
// proxy.Kernel.
type Poller struct {
	// Batch is how many events a Poll returns at the most; 256 if it is not changed.
	Batch int

	m      *Machine
	events []proxy.Event
	regs   map[int]*registration // by descriptor; nobody goes through it in order
	list   []*registration       // those that may be ready, as epoll keeps them
}

var _ proxy.Kernel = (*Poller)(nil)

// A registration is a file that a Poller waits for.
type registration struct {
	p      *Poller
	file   file
	fd     int
	token  proxy.Token
	want   proxy.Ready
	listed bool
}

// always is what epoll reports whether it is wanted or not.
const always = proxy.Broken

func (r *registration) wants() proxy.Ready { return r.want | always }

func (r *registration) enqueue() {
	if !r.listed {
		r.listed = true
		r.p.list = append(r.p.list, r)
	}
}

func (r *registration) forget() {
	delete(r.p.regs, r.fd)
	if r.listed {
		r.p.list = slices.DeleteFunc(r.p.list, func(other *registration) bool { return other == r })
	}
}

// NewPoller makes an epoll instance.
func (m *Machine) NewPoller() *Poller {
	return &Poller{m: m, Batch: maxEvents, regs: map[int]*registration{}}
}

// Max implements proxy.Kernel.
func (p *Poller) Max() int { return p.Batch }

// Poll implements proxy.Kernel. As in ep_send_events of Linux, what is not looked at for
// want of room stays in front, and what is ready goes behind all that may be.
func (p *Poller) Poll() ([]proxy.Event, error) {
	p.m.Advance()
	p.events = p.events[:0]
	var again []*registration
	i := 0
	for ; i < len(p.list) && len(p.events) < p.Batch; i++ {
		r := p.list[i]
		now := r.file.ready() & r.wants()
		if r.listed = now != 0; r.listed {
			p.events = append(p.events, proxy.Event{Token: r.token, Ready: now})
			again = append(again, r)
		}
	}
	p.list = append(slices.Clip(p.list[i:]), again...)
	if len(p.events) > 0 {
		p.m.trace("poll: %x", p.events)
	}
	return p.events, nil
}

// Pending reports whether a Poll may return events.
func (p *Poller) Pending() bool { return len(p.list) > 0 }

// Add implements proxy.Kernel.
func (p *Poller) Add(fd int, t proxy.Token, want proxy.Ready) error {
	return p.control("add", fd, t, want, func(f file, r *registration) error {
		if r != nil {
			return unix.EEXIST
		}
		r = &registration{p: p, file: f, fd: fd}
		p.regs[fd] = r
		f.base().regs = append(f.base().regs, r)
		r.set(t, want)
		return nil
	})
}

// Modify implements proxy.Kernel.
func (p *Poller) Modify(fd int, t proxy.Token, want proxy.Ready) error {
	return p.control("modify", fd, t, want, func(_ file, r *registration) error {
		if r == nil {
			return unix.ENOENT
		}
		r.set(t, want)
		return nil
	})
}

func (r *registration) set(t proxy.Token, want proxy.Ready) {
	r.token, r.want = t, want
	if r.file.ready()&r.wants() != 0 {
		r.enqueue()
	}
}

// Remove implements proxy.Kernel.
func (p *Poller) Remove(fd int) error {
	return p.control("remove", fd, 0, 0, func(f file, r *registration) error {
		if r == nil {
			return unix.ENOENT
		}
		r.forget()
		w := f.base()
		w.regs = slices.DeleteFunc(w.regs, func(other *registration) bool { return other == r })
		return nil
	})
}

func (p *Poller) control(what string, fd int, t proxy.Token, want proxy.Ready, do func(file, *registration) error) error {
	p.m.Advance()
	s, _ := p.m.at(fd).(*Socket) // nil for a listener
	p.m.mayPanic(what, s)
	var err error
	if f := p.m.at(fd); f == nil {
		err = unix.EBADF
	} else if p.m.Faults.Control != nil {
		err = p.m.Faults.Control(fd)
	}
	if err == nil {
		err = do(p.m.at(fd), p.regs[fd])
	}
	p.m.trace("fd %d %s, token %#x wants %#x: %v", fd, what, uint64(t), uint16(want), err)
	p.m.mayPanic(what, s)
	return os.NewSyscallError("epoll_ctl", err)
}

// ServeTLS implements proxy.Kernel.
func (p *Poller) ServeTLS(conn proxy.Transport, hello []byte, config *tls.Config) proxy.Secured {
	return p.m.TLS(conn, hello, config)
}

// AskTLS implements proxy.Kernel.
func (p *Poller) AskTLS(conn proxy.Transport, config *tls.Config) proxy.Secured {
	return p.m.TLS(conn, nil, config)
}

// Waiting implements proxy.Kernel.
func (p *Poller) Waiting(fd int) bool {
	p.m.Advance()
	l, ok := p.m.at(fd).(*Listener)
	return ok && len(l.line) > 0
}

// Accept implements proxy.Kernel.
func (p *Poller) Accept(fd int, shared bool) (proxy.Transport, netip.AddrPort, error) {
	p.m.Advance()
	l, ok := p.m.at(fd).(*Listener)
	if !ok {
		return nil, netip.AddrPort{}, unix.EBADF
	}
	p.m.mayPanic("accept", nil)
	s, err := l.accept(shared)
	if err != nil {
		p.m.trace("fd %d accept: %v", fd, err)
		return nil, netip.AddrPort{}, err
	}
	p.m.trace("fd %d accept: fd %d from %v", fd, s.fd, s.from)
	return s, s.from, nil
}

// Connect implements proxy.Kernel.
func (p *Poller) Connect(to proxy.Endpoint) (proxy.Transport, error) {
	p.m.Advance()
	p.m.mayPanic("connect", nil)
	s, err := p.m.connect(to)
	if err != nil {
		p.m.trace("connect to %v%s: %v", to.AddrPort, to.Path, err)
		return nil, err
	}
	p.m.trace("connect to %v%s: fd %d", to.AddrPort, to.Path, s.fd)
	p.m.Advance()
	return s, nil
}
