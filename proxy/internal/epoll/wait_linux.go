package epoll

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Patience is how long Loiter waits for more: after the last event it gives up
// no sooner than that, and before twice that.
const Patience = 4 * time.Millisecond

// A guard ends a Loiter. It is one timer that is set anew once in a Patience,
// however many waits there are meanwhile: on a virtual machine to set one for
// each wait costs as much as the wait.
type guard struct {
	timer int  // a timerfd
	set   bool // the timer runs, or has rung
	rang  bool // it has rung
	seen  bool // there were events since it was set
}

// Loiter is Poll, but waits in the kernel if nothing is ready. more says that it
// may be called again: nothing has to be ready for that, as a signal ends the wait, but
// something must have been within Patience.
//
// The thread sleeps without the Go scheduler's knowledge, which takes it for
// running: to be woken there costs a fraction of what it costs to park and to be
// made runnable again. So it keeps a processor (in the scheduler's sense) that
// it does not use, and others need one more (see Processors). A garbage collection
// that wants to stop the world interrupts the wait by a signal.
func (p *Poller) Loiter() (ready []Event, more bool, err error) {
	if !p.set {
		p.setGuard(Patience)
	}
	ready, err = p.collect(-1)
	p.seen = p.seen || len(ready) > 0
	if !p.rang {
		return ready, true, err
	}
	if p.seen {
		p.setGuard(Patience)
		return ready, true, err
	}
	p.unguard()
	return nil, false, err
}

// unguard takes the guard away. Left there it would end a Park.
func (p *Poller) unguard() {
	if p.set {
		p.setGuard(0)
	}
}

// setGuard has the guard ring after so long; 0 stops it. Either makes it unreadable.
func (p *Poller) setGuard(after time.Duration) {
	p.set, p.rang, p.seen = after > 0, false, false
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.timer), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if errno != 0 {
		panic(os.NewSyscallError("timerfd_settime", errno)) // the arguments are ours
	}
}

// Processors has the Go scheduler have more processors than there are
// goroutines that wait in a Loiter, so that there is one for everything else.
func Processors(loiterers int) {
	if runtime.GOMAXPROCS(0) <= loiterers {
		runtime.GOMAXPROCS(loiterers + 1)
	}
}

// Parking does not hold a thread: an epoll descriptor is itself pollable, so
// Park hands one to the Go runtime's own poller and the goroutine sleeps like
// one that waits on a net.Conn.
//
// The one that it hands over is the gate, whose only member is the Poller's. It
// is open while Park sleeps. Were the Poller's own handed over, each of its
// events would wake a thread of the runtime's, too, beside the one that loiters.
type parking struct {
	gate  int      // an epoll descriptor
	file  *os.File // gate again, as the runtime's poller knows it
	raw   syscall.RawConn
	try   func(uintptr) bool // Try, as raw wants it: one closure for all calls
	alarm time.Time          // the read deadline that file has now; zero if none
	past  bool               // that deadline has passed
}

func (p *Poller) openGate() (err error) {
	if p.gate, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// os.NewFile adds a descriptor to the runtime's poller only if it is non-blocking.
	if err := unix.SetNonblock(p.gate, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	p.file = os.NewFile(uintptr(p.gate), "epoll")
	p.try = func(uintptr) bool { return p.Try() }
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return err
	}
	return control(p.gate, unix.EPOLL_CTL_ADD, p.fd, 0, shut)
}

func (p *Poller) closeGate() error {
	if p.file != nil {
		return p.file.Close()
	}
	if p.gate != none {
		unix.Close(p.gate)
	}
	return nil
}

// What the gate lets through.
const (
	shut Ready = 0
	open       = In
)

// Park calls Try, and while it returns false sleeps until something may be
// ready, then calls it again. It gives up at the time until, if that is not
// zero, and then returns false.
func (p *Poller) Park(until time.Time) (ready bool, err error) {
	p.unguard()
	if err := errors.Join(p.setAlarm(until), p.turnGate(open)); err != nil {
		return false, err
	}
	err = p.raw.Read(p.try)
	// The thread that has found us ready was the one that watched the runtime's
	// poller for all. If we loiter now, nobody would see for milliseconds what other
	// goroutines wait for. To yield makes the scheduler put another there.
	runtime.Gosched()
	if err := p.turnGate(shut); err != nil {
		return false, err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.past = true
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wait for events: %w", err)
	}
	return true, nil
}

func (p *Poller) turnGate(to Ready) error {
	return control(p.gate, unix.EPOLL_CTL_MOD, p.fd, 0, to)
}

// setAlarm makes Park end at a time at the latest. An alarm that is already
// set for earlier is left: it costs one wake-up too many, which is less than
// setting it anew for every event. One that went off must be replaced or taken
// away: a deadline in the past would let no Park sleep again.
func (p *Poller) setAlarm(at time.Time) error {
	early := at.IsZero() || !p.alarm.IsZero() && !at.Before(p.alarm)
	if early && !p.past {
		return nil
	}
	p.alarm, p.past = at, false
	return p.file.SetReadDeadline(at)
}
