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

// Patience is how long Loiter waits for more events. It gives up between one and two
// times Patience after the last event.
const Patience = 4 * time.Millisecond

// A guard ends a Loiter. It is one timer that is set at most once in a Patience, however
// many waits there are in that time. On a virtual machine, to set a timer for each wait
// costs as much as the wait.
type guard struct {
	timer int  // a timerfd
	set   bool // the timer runs or has gone off
	rang  bool // it has gone off
	seen  bool // events came since it was set
}

// Loiter is Poll, but waits in the kernel if nothing is ready. It may return no events,
// because a signal woke it. more is false if no event came within Patience; the caller
// should Park then.
//
// The thread sleeps without the knowledge of the Go scheduler, which takes it for
// running. To wake it costs a fraction of what it costs to park a goroutine and make it
// runnable again. But the thread keeps a processor (in the scheduler's sense) that it
// does not use, and other goroutines need one more (see Processors). A garbage collection
// that stops the world interrupts the wait with a signal.
func (p *Poller) Loiter() (ready []Event, more bool, err error) {
	if !p.guard.set {
		p.setGuard(Patience)
	}
	p.yieldAfterPark()
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

// yieldAfterPark yields once after a Park. The thread that runs us was the one that
// watched the runtime's poller for all goroutines. While it sleeps in our epoll, no
// thread watches that poller. When we yield, the scheduler puts another thread there.
func (p *Poller) yieldAfterPark() {
	if p.parking.slept {
		p.parking.slept = false
		runtime.Gosched()
	}
}

// unguard stops the guard, which would otherwise end a Park.
func (p *Poller) unguard() {
	if p.guard.set {
		p.setGuard(0)
	}
}

// setGuard makes the guard go off after so long; 0 stops it. In both cases its descriptor
// is not readable any more.
func (p *Poller) setGuard(after time.Duration) {
	p.guard.set, p.guard.rang, p.guard.seen = after > 0, false, false
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.guard.timer), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if errno != 0 {
		panic(os.NewSyscallError("timerfd_settime", errno)) // the arguments are ours
	}
}

// loiterers counts the goroutines of the whole process that may loiter.
var loiterers struct {
	sync.Mutex
	n int
}

// Processors is how many processors the Go scheduler had at the start.
var Processors = runtime.GOMAXPROCS(0)

// Employ adds n, which may be negative, to the number of goroutines that may loiter, and
// sets GOMAXPROCS so that there are processors for them and for everything else.
func Employ(n int) {
	loiterers.Lock()
	defer loiterers.Unlock()
	loiterers.n += n
	runtime.GOMAXPROCS(processorsFor(loiterers.n))
}

// processorsFor returns half as many processors again as there are loiterers: these use
// theirs only for a part of the time. With many more, the garbage collector, which takes
// a quarter of them, would get in the loiterers' way.
func processorsFor(loiterers int) int {
	return max(Processors, loiterers+max(1, loiterers/2))
}

// parking is the state of Park. A Park holds no thread. An epoll descriptor can itself be
// polled, so Park hands one to the Go runtime's own poller, and the goroutine sleeps like
// one that waits on a net.Conn.
//
// That descriptor is the gate. Its only member is the Poller's descriptor, and it is open
// while Park sleeps. If the Poller's descriptor itself were handed over, each of its
// events would also wake a thread of the runtime, beside the one that loiters.
type parking struct {
	gate  int      // an epoll descriptor
	file  *os.File // gate, as the runtime's poller has it
	raw   syscall.RawConn
	try   func(uintptr) bool // calls Try; one closure for all calls of raw.Read
	alarm time.Time          // the read deadline that file has now; zero if it has none
	past  bool               // alarm has passed
	slept bool               // a Park has returned, and no Loiter was called since
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

// The conditions that the gate waits for.
const (
	gateShut uint32 = 0
	gateOpen uint32 = unix.EPOLLIN
)

// Park calls Try. While Try returns false, Park sleeps until something may be ready, and
// calls Try again. It gives up at the time until, unless that is zero, and returns false.
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

// turnGate opens or shuts the gate. Opening it does not report to the runtime's poller
// what was ready before, so the caller must look for events afterwards.
func (p *Poller) turnGate(to uint32) error {
	return control(p.parking.gate, unix.EPOLL_CTL_MOD, p.fd, 0, to)
}

// setAlarm makes Park end at the time at, or earlier. An alarm that is set for an earlier
// time is left: it costs one wake-up too many, which is less than setting it anew for
// every event. An alarm that has gone off must be replaced or removed: with a deadline in
// the past no Park would sleep again.
func (k *parking) setAlarm(at time.Time) error {
	early := at.IsZero() || !k.alarm.IsZero() && !at.Before(k.alarm)
	if early && !k.past {
		return nil
	}
	k.alarm, k.past = at, false
	return k.file.SetReadDeadline(at)
}
