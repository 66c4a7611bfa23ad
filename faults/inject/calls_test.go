//go:build faults && amd64

package inject

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// A call is a system call that the binary makes while it serves.
type call struct {
	name       string
	number     int
	operation  int   // the second argument that the call is about, or any
	descriptor int   // which argument is a descriptor, or none
	errors     []row // that it can return by its manual page
	rare       bool  // clients cannot make the process make it in every setup
	admin      bool  // only calls on the admin listener; all other calls are about everything else
}

// A row is errors of a call that are injected in the same way.
type row struct {
	runs   bool // the kernel makes the call, and only what it returns is changed
	errors []syscall.Errno
}

func fails(errors ...syscall.Errno) row { return row{errors: errors} }

// returns is for errors that Linux reports of a call that has had its effect.
func returns(errors ...syscall.Errno) row { return row{runs: true, errors: errors} }

// calls are all calls that a session, a page, a refusal or a drain can meet. The errors
// are those of the manual pages. Two kinds are left out. EBADF, EFAULT, EINVAL and ENOTSOCK
// are about arguments, which are the binary's own: what they do where a loop waits is in
// endings. EAGAIN of what the Go runtime's poller waits for is left out, since that poller
// is edge-triggered: Linux does not answer EAGAIN there while bytes are waiting, and no
// second edge would tell of them. The loops' own poller is level-triggered.
var calls = []call{
	{"accept4", unix.SYS_ACCEPT4, anyOperation, 0, []row{
		fails(unix.EMFILE, unix.EAGAIN, unix.EINTR, unix.ECONNABORTED, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPERM, unix.EPROTO,
			// accept(2): errors of the new connection that Linux passes on.
			unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH),
	}, false, false},
	{"accept4 of the admin side", unix.SYS_ACCEPT4, anyOperation, 0, []row{
		fails(unix.ENOMEM, unix.EINTR, unix.ECONNABORTED, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.EPERM, unix.EPROTO, unix.ENETDOWN),
	}, false, true},
	{"recvfrom", unix.SYS_RECVFROM, anyOperation, 0, []row{
		fails(unix.ECONNRESET, unix.EAGAIN, unix.EINTR, unix.ENOMEM, unix.ENOTCONN, unix.ECONNREFUSED,
			unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH), // tcp(7), ip(7)
	}, false, false},
	{"sendto", unix.SYS_SENDTO, anyOperation, 0, []row{
		fails(unix.EPIPE, unix.EAGAIN, unix.EINTR, unix.EACCES, unix.ECONNRESET, unix.ENOBUFS, unix.ENOMEM, unix.ENOTCONN,
			unix.ETIMEDOUT, unix.EHOSTUNREACH),
	}, false, false},
	{"read", unix.SYS_READ, anyOperation, 0, []row{
		fails(unix.EIO, unix.EINTR, unix.ECONNRESET),
	}, false, false},
	{"write", unix.SYS_WRITE, anyOperation, 0, []row{
		fails(unix.EIO, unix.EINTR, unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.EPERM, unix.EPIPE),
	}, false, false},
	{"epoll_pwait", unix.SYS_EPOLL_PWAIT, anyOperation, none, []row{
		fails(unix.EINTR),
	}, false, false},
	{"epoll_ctl ADD", unix.SYS_EPOLL_CTL, unix.EPOLL_CTL_ADD, 2, []row{
		fails(unix.ENOMEM, unix.ENOSPC, unix.EPERM, unix.ELOOP, unix.EEXIST),
	}, false, false},
	{"epoll_ctl MOD", unix.SYS_EPOLL_CTL, unix.EPOLL_CTL_MOD, 2, []row{
		fails(unix.ENOMEM, unix.ENOENT),
	}, false, false},
	{"epoll_ctl DEL", unix.SYS_EPOLL_CTL, unix.EPOLL_CTL_DEL, 2, []row{
		fails(unix.ENOMEM, unix.ENOENT),
	}, false, false},
	{"socket", unix.SYS_SOCKET, anyOperation, none, []row{
		fails(unix.EACCES, unix.EAFNOSUPPORT, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPROTONOSUPPORT),
	}, false, false},
	{"connect", unix.SYS_CONNECT, anyOperation, none, []row{
		fails(unix.EACCES, unix.EPERM, unix.EADDRINUSE, unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.EAGAIN, unix.EALREADY,
			unix.ECONNREFUSED, unix.EISCONN, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EPROTOTYPE, unix.ETIMEDOUT),
		returns(unix.EINPROGRESS, unix.EINTR),
	}, false, false},
	{"setsockopt", unix.SYS_SETSOCKOPT, anyOperation, 0, []row{
		fails(unix.ENOPROTOOPT, unix.ENOBUFS, unix.ENOMEM),
	}, false, false},
	{"getsockopt", unix.SYS_GETSOCKOPT, anyOperation, 0, []row{
		fails(unix.ENOPROTOOPT, unix.ENOBUFS),
	}, false, false},
	{"getsockname", unix.SYS_GETSOCKNAME, anyOperation, 0, []row{
		fails(unix.ENOBUFS),
	}, false, false},
	{"getpeername", unix.SYS_GETPEERNAME, anyOperation, 0, []row{
		fails(unix.ENOBUFS, unix.ENOTCONN),
	}, false, false},
	{"ioctl", unix.SYS_IOCTL, anyOperation, 0, []row{
		fails(unix.ENOTTY),
	}, false, false},
	{"shutdown", unix.SYS_SHUTDOWN, anyOperation, none, []row{
		fails(unix.ENOTCONN),
	}, false, false},
	{"close", unix.SYS_CLOSE, anyOperation, none, []row{
		returns(unix.EINTR, unix.EIO, unix.ENOSPC, unix.EDQUOT), // close(2): the descriptor is free all the same
	}, false, false},
	{"fcntl", unix.SYS_FCNTL, anyOperation, 0, []row{
		fails(unix.EMFILE, unix.EAGAIN, unix.EACCES, unix.EPERM),
	}, false, false},
	{"ppoll", unix.SYS_PPOLL, anyOperation, none, []row{
		fails(unix.EINTR, unix.ENOMEM),
	}, false, false},
	{"openat", unix.SYS_OPENAT, anyOperation, none, []row{
		fails(unix.EMFILE, unix.EACCES, unix.ENFILE, unix.ENOENT, unix.ENOMEM, unix.EINTR),
	}, false, false},
	{"statfs", unix.SYS_STATFS, anyOperation, none, []row{
		fails(unix.EACCES, unix.EIO, unix.ENOENT, unix.ENOMEM, unix.EINTR),
	}, false, false},
	{"newfstatat", unix.SYS_NEWFSTATAT, anyOperation, none, []row{
		fails(unix.EACCES, unix.ENOENT, unix.ENOMEM),
	}, false, false},
	{"getdents64", unix.SYS_GETDENTS64, anyOperation, none, []row{
		fails(unix.ENOENT),
	}, true, false}, // how open descriptors are counted before Linux 6.2
	{"fstat", unix.SYS_FSTAT, anyOperation, none, []row{
		fails(unix.ENOMEM),
	}, true, false},
	{"unlinkat", unix.SYS_UNLINKAT, anyOperation, none, []row{
		fails(unix.EACCES, unix.EBUSY, unix.EIO, unix.ENOENT, unix.EPERM, unix.EROFS),
	}, true, false},
	{"getrandom", unix.SYS_GETRANDOM, anyOperation, none, []row{
		fails(unix.EINTR), // ENOSYS is a kernel's age: Go then opens /dev/urandom, and keeps it
	}, true, false},
}

// An ending is a fault that ends the process on purpose.
type ending struct {
	call   call
	errors []syscall.Errno
	says   string // what the process says
	why    string
}

// endings are all faults that end the process. The process says why, and what watches
// it starts it anew: a loop that cannot wait would spin or stand still with its sessions.
var endings = []ending{
	{call{name: "epoll_pwait", number: unix.SYS_EPOLL_PWAIT, operation: anyOperation, descriptor: 0},
		[]syscall.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL}, "epoll_pwait",
		"the arguments are the loop's own, so an invariant is broken"},
	{call{name: "timerfd_settime", number: unix.SYS_TIMERFD_SETTIME, operation: anyOperation, descriptor: none},
		[]syscall.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL}, "timerfd_settime",
		"the arguments are the loop's own; without its guard a loop would never park"},
	{call{name: "epoll_ctl MOD of a gate", number: unix.SYS_EPOLL_CTL, operation: unix.EPOLL_CTL_MOD, descriptor: 2},
		[]syscall.Errno{unix.ENOENT, unix.ENOMEM}, "epoll_ctl",
		"Linux allocates nothing for it, so an invariant is broken; behind a gate that stays shut a loop would sleep for ever"},
}

// excluded are the calls that are not failed.
var excluded = map[int]string{
	unix.SYS_FUTEX:             "the Go runtime ends the process if it cannot sleep or wake",
	unix.SYS_MMAP:              "the Go runtime ends the process without memory",
	unix.SYS_MUNMAP:            "the Go runtime ends the process if it cannot give memory back",
	unix.SYS_MADVISE:           "advice: the Go runtime ignores what it returns",
	unix.SYS_MPROTECT:          "the Go runtime's own memory",
	unix.SYS_PRCTL:             "names the Go runtime's memory; it ignores what it returns",
	unix.SYS_CLONE:             "the Go runtime ends the process without a thread that it needs",
	unix.SYS_CLONE3:            "the Go runtime ends the process without a thread that it needs",
	unix.SYS_RT_SIGPROCMASK:    "the Go runtime ends the process",
	unix.SYS_RT_SIGACTION:      "the Go runtime ends the process",
	unix.SYS_RT_SIGRETURN:      "does not return",
	unix.SYS_SIGALTSTACK:       "the Go runtime ends the process",
	unix.SYS_TGKILL:            "how the Go runtime preempts; it cannot do without",
	unix.SYS_NANOSLEEP:         "the Go runtime's pause; it ignores what it returns",
	unix.SYS_SCHED_YIELD:       "cannot fail",
	unix.SYS_GETPID:            "cannot fail",
	unix.SYS_GETTID:            "cannot fail",
	unix.SYS_RESTART_SYSCALL:   "the kernel's own: how it goes on with a call that a tracer has stopped",
	unix.SYS_SCHED_GETAFFINITY: "asked by the Go runtime, which goes on without an answer",
	unix.SYS_SET_ROBUST_LIST:   "made once for each thread",
	unix.SYS_RSEQ:              "made once for each thread",
	unix.SYS_EXIT:              "does not return",
	unix.SYS_EXIT_GROUP:        "does not return",
}
