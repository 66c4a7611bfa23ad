// Package epoll waits for descriptors. It knows nothing about WebSocket: a descriptor is
// registered with a Token that means something to its owner, and its events carry that
// Token.
//
// A Poller belongs to one goroutine; only Wake may be called from others. There are two
// ways to wait. Loiter keeps the thread, for events that come within milliseconds. Park
// gives the thread back (wait_linux.go).
package epoll

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Token identifies a registration in its events.
type Token uint64

// Tokens of the Poller's own descriptors. Owners must not use them.
const (
	wakeToken  = ^Token(0)
	guardToken = ^Token(1)
)

// Ready is a set of conditions, wanted or reported.
type Ready uint16

const (
	In     Ready = unix.EPOLLIN    // bytes or the end of the stream can be read
	Out    Ready = unix.EPOLLOUT   // bytes can be written
	Ended  Ready = unix.EPOLLRDHUP // the peer has ended its direction; reported only if wanted
	Broken Ready = unix.EPOLLERR | unix.EPOLLHUP
)

// Event is one descriptor's readiness.
type Event struct {
	Token Token
	Ready Ready
}

// Files is how many descriptors a Poller uses.
const Files = 4

// A Poller is one epoll instance. It is level-triggered, but for its eventfd.
type Poller struct {
	// Try polls for events and reports whether there are any. Park calls it. The owner
	// sets it once.
	Try func() bool

	fd      int
	wakeFD  int
	woken   atomic.Bool
	kernel  [256]unix.EpollEvent
	events  [256]Event
	parking parking
	guard   guard
}

// New returns a Poller. Close releases its descriptors.
func New() (*Poller, error) {
	p := &Poller{fd: none, wakeFD: none, parking: parking{gate: none}, guard: guard{timer: none}}
	if err := p.open(); err != nil {
		_ = p.Close() // err is the error to return
		return nil, err
	}
	return p, nil
}

// none stands for a descriptor that does not exist.
const none = -1

func (p *Poller) open() (err error) {
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if p.guard.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	if err := p.makeGate(); err != nil {
		return err
	}
	return errors.Join(p.addWake(), p.Add(p.guard.timer, guardToken, In))
}

// addWake registers the eventfd, edge-triggered: each write to it is one event. So nothing
// has to be read, and no read can fail: a level-triggered eventfd is reported again and
// again after a read that failed. The eventfd's counter of 64 bits has room for all writes.
func (p *Poller) addWake() error {
	return control(p.fd, unix.EPOLL_CTL_ADD, p.wakeFD, wakeToken, unix.EPOLLIN|unix.EPOLLET)
}

// Close releases the Poller. No other method may be called during it or afterwards.
func (p *Poller) Close() error {
	for _, fd := range []int{p.fd, p.wakeFD, p.guard.timer} {
		if fd != none {
			unix.Close(fd)
		}
	}
	return p.parking.close()
}

// Add registers fd.
func (p *Poller) Add(fd int, t Token, want Ready) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, t, want)
}

// Modify replaces the conditions that are wanted of fd.
func (p *Poller) Modify(fd int, t Token, want Ready) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, t, want)
}

// Remove unregisters fd. Closing the last duplicate of a descriptor unregisters it too.
func (p *Poller) Remove(fd int) error {
	return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0)
}

func (p *Poller) control(op, fd int, t Token, want Ready) error {
	return control(p.fd, op, fd, t, uint32(want))
}

func control(epoll, op, fd int, t Token, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(t), Pad: int32(t >> 32)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// Max returns the largest number of events that Poll returns at once.
func (p *Poller) Max() int { return len(p.events) }

// Poll returns what is ready now, without waiting. The slice is valid until the next
// call. Fewer than Max events mean that nothing else was ready.
func (p *Poller) Poll() ([]Event, error) { return p.collect(0) }

// collect waits for events, without limit if milliseconds is negative. It returns no
// events if a signal ends the wait.
func (p *Poller) collect(milliseconds int) ([]Event, error) {
	n, errno := epollWait(p.fd, p.kernel[:], milliseconds)
	if errno == unix.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, os.NewSyscallError("epoll_pwait", errno)
	}
	ready := p.events[:0]
	for i := range p.kernel[:n] {
		ev := &p.kernel[i]
		t := Token(uint32(ev.Fd)) | Token(uint32(ev.Pad))<<32
		switch t {
		case guardToken:
			p.guard.rang = true
		case wakeToken:
			p.woken.Store(false)
			ready = append(ready, Event{Token: wakeToken})
		default:
			ready = append(ready, Event{Token: t, Ready: Ready(ev.Events)})
		}
	}
	return ready, nil
}

// Woken reports whether a call of Wake caused the event. The event then has no other
// meaning.
func (e Event) Woken() bool { return e.Token == wakeToken }

// Wake makes a Park or a Loiter that sleeps, or the next one, return. It may be called
// from any goroutine.
func (p *Poller) Wake() {
	if p.woken.Swap(true) {
		return // an event is already on its way
	}
	one := [8]byte{1}
	if _, err := unix.Write(p.wakeFD, one[:]); err != nil {
		p.woken.Store(false) // so that the next Wake tries again
	}
}

// epollWait is a raw system call: the Go scheduler does not know that the thread sleeps,
// see Loiter.
func epollWait(fd int, events []unix.EpollEvent, milliseconds int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(milliseconds), 0, 0)
	return int(n), errno
}
