package proxy

import (
	"os"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/epoll"
)

// reservedFiles are descriptors kept for everything but sessions: the
// listeners, the admin side, the runtime, clients that are refused, lookups, and
// the second descriptor of a connection that changes hands.
const reservedFiles = 256

// Descriptors are the file descriptors that a process may have.
type Descriptors struct {
	Limit    int64 // all that it may have
	Reserved int64 // those of them that are not for clients
}

// OwnDescriptors returns those of this process, for a server with so many event loops; 0
// means one for each usable core.
func OwnDescriptors(loops int) Descriptors {
	if loops == 0 {
		loops = epoll.Processors
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		panic(os.NewSyscallError("getrlimit", err)) // the arguments are ours
	}
	return Descriptors{
		Limit:    int64(min(files.Cur, 1<<40)),
		Reserved: reservedFiles + epoll.Files*int64(loops),
	}
}

// Clients returns how many clients d allows at once, two descriptors to each.
func (d Descriptors) Clients() int64 { return max(1, (d.Limit-d.Reserved)/2) }

// LimitFor returns the limit that so many clients at once need.
func (d Descriptors) LimitFor(clients int64) int64 { return d.Reserved + 2*clients }

// roomForPages is how many of all clients may be with the server of pages: half,
// or more if so many sessions may not be. So sessions always find room, however long
// pages take to be answered.
func roomForPages(room, sessions int64) int64 {
	return max(1, room/2, room-sessions)
}
