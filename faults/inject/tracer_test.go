//go:build faults && amd64

package inject

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracerVariable holds the fault that this process shall inject, if it is a tracer.
const tracerVariable = "HOLDFAST_INJECT"

// A fault says which calls of a process fail, and how.
type fault struct {
	PID   int
	Call  int           // its number, or none to count all calls
	Errno syscall.Errno // what the call returns
	Runs  bool          // the call is made, and only its result is changed
	First int           // the call that fails first; 1 is the next one
	Every int           // how many calls later the next one fails; 0 = none does

	Operation  int      // the second argument, or any
	Descriptor int      // which argument is a descriptor, or none
	Spared     []uint64 // descriptors whose calls are neither failed nor counted
}

const (
	none         = -1
	anyOperation = -1
)

// A report is what a tracer tells, one JSON object a line.
type report struct {
	Event  string      // "attached", "injected" or "ended"
	Counts map[int]int // ended: how often each call was made
}

// A tracer stops a process at each of its system calls. All of its requests to the kernel
// come from one thread, as ptrace(2) demands.
type tracer struct {
	fault
	out     *json.Encoder
	threads map[int]*thread
	matched int         // calls that the fault is about
	counts  map[int]int // of all calls
	leaving bool        // every thread is released at its next stop
}

// A thread is one of the process's.
type thread struct {
	failing bool // its present call fails
}

// runTracer injects the fault until its input ends or the process does.
func runTracer(wanted string) int {
	t := &tracer{out: json.NewEncoder(os.Stdout), threads: map[int]*thread{}, counts: map[int]int{}}
	if err := json.Unmarshal([]byte(wanted), &t.fault); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	runtime.LockOSThread()
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, unix.SIGCHLD)
	told := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // any end of the input means the same
		close(told)
	}()
	if err := t.seize(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	t.tells(report{Event: "attached"})
	for t.handleStops(); len(t.threads) > 0; t.handleStops() {
		select {
		case <-stopped:
		case <-told:
			told = nil
			t.leaving = true
			for id := range t.threads {
				_ = unix.PtraceInterrupt(id) // a thread that has ended tells so itself
			}
		}
	}
	t.tells(report{Event: "ended", Counts: t.counts})
	return 0
}

func (t *tracer) tells(r report) {
	_ = t.out.Encode(r) // it fails when the reader has ended
}

// seize attaches to every thread. A thread that a thread makes later is attached with it.
func (t *tracer) seize() error {
	for {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", t.PID))
		if err != nil {
			return err
		}
		found := false
		for _, entry := range entries {
			id, err := strconv.Atoi(entry.Name())
			if err != nil || t.threads[id] != nil {
				continue
			}
			const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE
			if err := ptrace(unix.PTRACE_SEIZE, id, 0, options); err == unix.ESRCH {
				continue // the thread has ended
			} else if err != nil && err != unix.EPERM { // EPERM: it came with its maker
				return os.NewSyscallError("ptrace", err)
			}
			t.threads[id] = &thread{}
			found = true
			_ = unix.PtraceInterrupt(id) // it fails only if the thread has ended
		}
		if !found {
			return nil
		}
	}
}

// handleStops handles what has happened to the threads.
func (t *tracer) handleStops() {
	for {
		var status unix.WaitStatus
		id, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOHANG, nil)
		if err == unix.ECHILD {
			clear(t.threads)
		}
		if err != nil || id <= 0 {
			return
		}
		if !status.Stopped() {
			delete(t.threads, id)
			continue
		}
		t.handleStop(id, status)
	}
}

// handleStop lets a stopped thread go on.
func (t *tracer) handleStop(id int, status unix.WaitStatus) {
	of := t.threads[id]
	if of == nil { // a new thread may stop before its maker does
		of = &thread{}
		t.threads[id] = of
	}
	const callStop = unix.SIGTRAP | 0x80
	deliver := 0
	switch sig := status.StopSignal(); {
	case sig == callStop:
		t.handleCall(id, of)
	case uint32(status)>>16 != 0: // an event of ptrace's own
	default:
		deliver = int(sig)
	}
	if t.leaving && !of.failing {
		_ = ptrace(unix.PTRACE_DETACH, id, 0, uintptr(deliver)) // it fails only if the thread has ended
		delete(t.threads, id)
		return
	}
	_ = unix.PtraceSyscall(id, deliver) // it fails only if the thread has ended
}

// callInfo is struct ptrace_syscall_info.
type callInfo struct {
	Op     uint8
	_      [3]byte
	_      uint32
	_, _   uint64
	Number uint64
	Args   [6]uint64
	_      uint64
}

const (
	callEntry = 1
	callExit  = 2
)

// handleCall handles a thread that enters or leaves a call.
func (t *tracer) handleCall(id int, of *thread) {
	var info callInfo
	if ptrace(unix.PTRACE_GET_SYSCALL_INFO, id, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))) != nil {
		return // the thread has been killed
	}
	switch {
	case info.Op == callExit && of.failing:
		of.failing = false
		change(id, func(r *unix.PtraceRegs) { r.Rax = uint64(-int64(t.Errno)) })
		t.tells(report{Event: "injected"})
	case info.Op == callEntry:
		t.counts[int(info.Number)]++
		if t.leaving || !t.fails(&info) {
			return
		}
		of.failing = true
		if !t.Runs {
			change(id, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) }) // no call has this number
		}
	}
}

// fails counts the calls that the fault is about, and says whether this one fails.
func (t *tracer) fails(info *callInfo) bool {
	if int(info.Number) != t.Call ||
		t.Operation != anyOperation && int(info.Args[1]) != t.Operation ||
		t.Descriptor != none && slices.Contains(t.Spared, info.Args[t.Descriptor]) {
		return false
	}
	t.matched++
	after := t.matched - t.First
	return after == 0 || after > 0 && t.Every > 0 && after%t.Every == 0
}

// change changes the registers of a stopped thread.
func change(id int, how func(*unix.PtraceRegs)) {
	var r unix.PtraceRegs
	if unix.PtraceGetRegs(id, &r) != nil {
		return // the thread has been killed
	}
	how(&r)
	_ = unix.PtraceSetRegs(id, &r) // it fails only if the thread has been killed
}

func ptrace(request, id int, address, data uintptr) error {
	if _, _, errno := syscall.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(id), address, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
