package epoll

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Patience is how long Loiter waits for more: after the last event that it saw it
// gives up no sooner than that, and before twice that.
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
	if !p.guard.set {
		p.setGuard(Patience)
	}
	p.hireWatchman()
	ready, err = p.collect(-1)
	p.guard.seen = p.guard.seen || len(ready) > 0
	if !p.guard.rang {
		return ready, true, err
	}
	if p.guard.seen {
		p.setGuard(Patience)
		return ready, true, err
	}
	p.unguard()
	return nil, false, err
}

// hireWatchman has another thread watch the runtime's poller for all goroutines.
// The one that did has found us ready, and runs us; while we loiter nobody would see
// for milliseconds what others wait for. To yield makes the scheduler put another there.
func (p *Poller) hireWatchman() {
	if p.parking.slept {
		p.parking.slept = false
		runtime.Gosched()
	}
}

// unguard takes the guard away. Left there it would end a Park.
func (p *Poller) unguard() {
	if p.guard.set {
		p.setGuard(0)
	}
}

// setGuard has the guard ring after so long; 0 stops it. Either makes it unreadable.
func (p *Poller) setGuard(after time.Duration) {
	p.guard.set, p.guard.rang, p.guard.seen = after > 0, false, false
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.guard.timer), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if errno != 0 {
		panic(os.NewSyscallError("timerfd_settime", errno)) // the arguments are ours
	}
}

// loiterers counts the goroutines that may be in a Loiter, in the whole process.
var loiterers struct {
	sync.Mutex
	n int
}

// Processors is how many processors the Go scheduler had at the start.
var Processors = runtime.GOMAXPROCS(0)

// Employ tells that n goroutines more may loiter from now on, or fewer if it is
// negative, and has the Go scheduler have processors for them and for everything else.
func Employ(n int) {
	loiterers.Lock()
	defer loiterers.Unlock()
	loiterers.n += n
	runtime.GOMAXPROCS(processorsFor(loiterers.n))
}

// processorsFor is half as many again as loiter, since these use theirs for a part of the
// time only. Many more would let the garbage collector, which takes a quarter of
// them, get in their way.
func processorsFor(loiterers int) int {
	return max(Processors, loiterers+max(1, loiterers/2))
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
	slept bool               // and no Loiter since
}

func (p *Poller) makeGate() (err error) {
	k := &p.parking
	if k.gate, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// os.NewFile adds a descriptor to the runtime's poller only if it is non-blocking.
	if err := unix.SetNonblock(k.gate, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	k.file = os.NewFile(uintptr(k.gate), "epoll")
	k.try = func(uintptr) bool { return p.Try() }
	if k.raw, err = k.file.SyscallConn(); err != nil {
		return err
	}
	return control(k.gate, unix.EPOLL_CTL_ADD, p.fd, 0, gateShut)
}

func (k *parking) close() error {
	if k.file != nil {
		return k.file.Close()
	}
	if k.gate != none {
		unix.Close(k.gate)
	}
	return nil
}

// What the gate lets through.
const (
	gateShut Ready = 0
	gateOpen       = In
)

// Park calls Try, and while it returns false sleeps until something may be
// ready, then calls it again. It gives up at the time until, if that is not
// zero, and then returns false.
func (p *Poller) Park(until time.Time) (ready bool, err error) {
	p.unguard()
	if err := errors.Join(p.parking.setAlarm(until), p.turnGate(gateOpen)); err != nil {
		return false, err
	}
	err = p.parking.raw.Read(p.parking.try)
	p.parking.slept = true
	if err := p.turnGate(gateShut); err != nil {
		return false, err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.parking.past = true
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wait for events: %w", err)
	}
	return true, nil
}

// turnGate opens or shuts the gate. That it opens tells the runtime's poller of
// nothing that has been ready before: who opens it must look by himself afterwards.
func (p *Poller) turnGate(to Ready) error {
	return control(p.parking.gate, unix.EPOLL_CTL_MOD, p.fd, 0, to)
}

// setAlarm makes Park end at a time at the latest. An alarm that is already
// set for earlier is left: it costs one wake-up too many, which is less than
// setting it anew for every event. One that went off must be replaced or taken
// away: a deadline in the past would let no Park sleep again.
func (k *parking) setAlarm(at time.Time) error {
	early := at.IsZero() || !k.alarm.IsZero() && !at.Before(k.alarm)
	if early && !k.past {
		return nil
	}
	k.alarm, k.past = at, false
	return k.file.SetReadDeadline(at)
}
