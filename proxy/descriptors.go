package proxy

import (
	"os"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/epoll"
)

// Descriptors counts the file descriptors that a process may have.
type Descriptors struct {
	Limit int64 // all of them
	Loops int64 // of the server
}

// OwnDescriptors returns the descriptors of this process, for a server with so many event
// loops; 0 means one loop for each usable core.
func OwnDescriptors(loops int) Descriptors {
	if loops == 0 {
		loops = epoll.Processors
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		panic(os.NewSyscallError("getrlimit", err)) // the arguments are ours
	}
	return Descriptors{Limit: int64(min(files.Cur, 1<<40)), Loops: int64(loops)}
}

// Descriptors are reserved for everything but the loops and the clients inside: a quarter
// of all, within these bounds.
const (
	leastReserved = 20
	mostReserved  = 256
)

// ownFiles is how many of the reserved descriptors are for neither the lobby nor the
// connections of the admin listener. The process keeps nine: three standard streams, two
// listeners, two of the runtime's poller, and two by which the runtime learns the CPU limit.
// Seven more come and go: two of a lookup, and one each of a check, of a file that is read,
// of a connection that changes hands, of a client that is closed at once, and of an admin
// connection that is to replace another.
const ownFiles = 16

// Reserved returns how many descriptors are not for clients inside.
func (d Descriptors) Reserved() int64 {
	return min(max(d.Limit/4, leastReserved), mostReserved) + d.ofLoops()
}

func (d Descriptors) ofLoops() int64 { return epoll.Files * d.Loops }

// Clients returns how many clients d allows at once. A client takes two descriptors.
func (d Descriptors) Clients() int64 { return max(1, (d.Limit-d.Reserved())/2) }

// LimitFor returns the least Limit that allows so many clients at once.
func (d Descriptors) LimitFor(clients int64) int64 {
	used := 2*clients + d.ofLoops()
	quarter := 4*(used-1)/3 + 1 - used // of the least limit whose other three quarters are enough
	return used + min(max(quarter, leastReserved), mostReserved)
}

// mostRefused bounds how many clients there may be in the lobby.
const mostRefused = 64

// Refused returns how many of the reserved descriptors are for clients in the lobby. Each
// of them has one.
func (d Descriptors) Refused() int64 {
	return min((d.Reserved()-d.ofLoops()-ownFiles)/2, mostRefused)
}

// Admin returns how many of the reserved descriptors are for connections to the admin
// listener.
func (d Descriptors) Admin() int64 { return (d.Reserved() - d.ofLoops()) / 8 }

// Checks returns how many checks of upstreams, and how many lookups, may be under way at
// once. ownFiles has one of each; the others have a share of the reserved descriptors: a
// sixteenth for the checks, and an eighth for the lookups.
func (d Descriptors) Checks() int64 { return max(1, (d.Reserved()-d.ofLoops())/16) }
