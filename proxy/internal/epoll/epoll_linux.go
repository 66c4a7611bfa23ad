// Package epoll waits for descriptors. It knows nothing of WebSocket: a
// descriptor is registered with a Token that means something to its owner, and
// comes back with that Token when it is ready.
//
// A Poller belongs to one goroutine; only Wake may be called from others.
// Waiting does not hold a thread: an epoll descriptor is itself pollable, so
// Park hands it to the Go runtime's own poller and the goroutine sleeps like
// one that waits on a net.Conn.
package epoll

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Token is what a registration carries and its events bring back.
type Token uint64

// wakeToken marks the Poller's own eventfd; no owner may use it.
const wakeToken = ^Token(0)

// Ready is a set of conditions, wanted or reported.
type Ready uint32

const (
	In     Ready = unix.EPOLLIN    // bytes, or the end of the stream, can be read
	Out    Ready = unix.EPOLLOUT   // bytes can be written
	Ended  Ready = unix.EPOLLRDHUP // the peer has ended its direction; reported only if wanted
	Broken Ready = unix.EPOLLERR | unix.EPOLLHUP
)

// Event is one descriptor's readiness.
type Event struct {
	Token Token
	Ready Ready
}

// A Poller is one epoll instance, level-triggered.
type Poller struct {
	// Try looks for events on behalf of Park; it is set once, by the owner.
	Try func() bool

	fd     int
	wakeFD int
	file   *os.File // fd again, as the runtime's poller knows it
	raw    syscall.RawConn
	try    func(uintptr) bool // Try, as raw wants it: one closure for all calls
	alarm  time.Time          // the read deadline that file has now; zero if none
	rang   bool               // that deadline has passed
	woken  atomic.Bool
	kernel [256]unix.EpollEvent
	events [256]Event
}

// New makes a Poller. Close releases its descriptors.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// os.NewFile adds a descriptor to the runtime's poller only if it is non-blocking.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &Poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	p.try = func(uintptr) bool { return p.Try() }
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.file.Close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := p.Add(p.wakeFD, wakeToken, In); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close releases the Poller. It must not be waited on, nor woken, any more.
func (p *Poller) Close() error {
	unix.Close(p.wakeFD)
	return p.file.Close()
}

// Add registers fd.
func (p *Poller) Add(fd int, t Token, want Ready) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, t, want)
}

// Modify replaces what is wanted of fd.
func (p *Poller) Modify(fd int, t Token, want Ready) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, t, want)
}

// Remove forgets fd. Closing the last duplicate of a descriptor removes it too.
func (p *Poller) Remove(fd int) error {
	return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0)
}

func (p *Poller) control(op, fd int, t Token, want Ready) error {
	ev := unix.EpollEvent{Events: uint32(want), Fd: int32(t), Pad: int32(t >> 32)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// Max is the largest number of events that Poll returns at once.
func (p *Poller) Max() int { return len(p.events) }

// Poll returns what is ready now, without waiting. The slice is valid until
// the next call. Fewer than Max events mean that nothing else was ready.
func (p *Poller) Poll() ([]Event, error) { return p.collect(0) }

// Loiter is Poll, but waits for a millisecond if nothing is ready. The thread
// sleeps in the kernel without the Go scheduler's knowledge: to be woken there costs
// a fraction of what it costs to park and to be made runnable again, and a
// millisecond is too short for anybody to miss the thread.
func (p *Poller) Loiter() ([]Event, error) { return p.collect(1) }

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
		if t == wakeToken {
			p.clearWake()
			ready = append(ready, Event{Token: wakeToken})
			continue
		}
		ready = append(ready, Event{Token: t, Ready: Ready(ev.Events)})
	}
	return ready, nil
}

// Woken reports whether the event is that of a Wake; its owner has nothing else to do for it.
func (e Event) Woken() bool { return e.Token == wakeToken }

// Park calls Try, and while it returns false sleeps until something may be
// ready, then calls it again. It gives up at the time until, if that is not
// zero, and then returns false.
func (p *Poller) Park(until time.Time) (ready bool, err error) {
	if err := p.setAlarm(until); err != nil {
		return false, err
	}
	err = p.raw.Read(p.try)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.rang = true
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wait for events: %w", err)
	}
	return true, nil
}

// setAlarm makes Park end at a time at the latest. An alarm that is already
// set for earlier is left: it costs one wake-up too many, which is less than
// setting it anew for every event. One that went off must be replaced or taken
// away: a deadline in the past would let no Park sleep again.
func (p *Poller) setAlarm(at time.Time) error {
	early := at.IsZero() || !p.alarm.IsZero() && !at.Before(p.alarm)
	if early && !p.rang {
		return nil
	}
	p.alarm, p.rang = at, false
	return p.file.SetReadDeadline(at)
}

// Wake makes a Park that sleeps, or the next one, return. It may be called
// from any goroutine.
func (p *Poller) Wake() {
	if p.woken.Swap(true) {
		return // the eventfd is already readable
	}
	one := [8]byte{1}
	_, _ = unix.Write(p.wakeFD, one[:]) // it can only fail where it is readable already
}

func (p *Poller) clearWake() {
	var b [8]byte
	_, _ = unix.Read(p.wakeFD, b[:]) // level-triggered: what is left comes again
	p.woken.Store(false)
}

// epollWait is a raw system call: it blocks for no longer than a millisecond, so
// the runtime need not be told that this thread enters the kernel.
func epollWait(fd int, events []unix.EpollEvent, milliseconds int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(milliseconds), 0, 0)
	return int(n), errno
}
