package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/upgrade"
)

// A listener is the socket that clients connect to. One loop accepts, and
// places each client on the loop that has the fewest.
type listener struct {
	fd       int
	addr     net.Addr
	file     socketFile     // of the unix socket that was made for it, and is to be removed
	shared   bool           // other processes may have the socket too: see socket.AcceptShared
	open     bool           // owned by the accepting loop
	paused   atomic.Bool    // no descriptor was left, or it cannot be watched; written by the accepting loop
	silentTo heartbeat.Time // so that a crowd fills no log; owned by the accepting loop
}

const listenerToken = epoll.Token(listenerSlot)

// listen binds with the standard library, which knows names and address
// families, and takes the descriptor from it.
func listen(cfg *Config, opts socket.Options) (*listener, error) {
	std, file, err := bind(cfg)
	if err != nil {
		return nil, err
	}
	defer std.Close()
	ln := &listener{fd: -1, addr: std.Addr(), file: file, shared: cfg.ListenFile != nil}
	if err := ln.take(std, opts); err != nil {
		ln.close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	ln.open = true
	return ln, nil
}

// take takes the descriptor.
func (ln *listener) take(std net.Listener, opts socket.Options) error {
	fd, err := socket.Duplicate(std.(syscall.Conn))
	if err != nil {
		return err
	}
	ln.fd = fd
	if _, tcp := ln.addr.(*net.TCPAddr); tcp {
		return opts.Apply(ln.fd)
	}
	return nil
}

// unixScheme is what the path of a unix socket is marked with.
const unixScheme = "unix:"

// bind makes the listening socket, and says the file of the unix socket that it made.
func bind(cfg *Config) (std net.Listener, file socketFile, err error) {
	if cfg.ListenFile != nil {
		std, err = net.FileListener(cfg.ListenFile)
		return std, socketFile{}, err
	}
	if path, isUnix := strings.CutPrefix(cfg.Listen, unixScheme); isUnix {
		return bindUnix(path)
	}
	var how net.ListenConfig
	how.SetMultipathTCP(false) // its sockets refuse TCP_USER_TIMEOUT
	std, err = how.Listen(context.Background(), "tcp", cfg.Listen)
	return std, socketFile{}, err
}

func (ln *listener) close() {
	ln.open = false
	_ = ln.file.remove() // first: closed, it would be taken for stale, and another's put in its place
	if ln.fd >= 0 {
		unix.Close(ln.fd)
	}
}

func (l *loop) startAccept() {
	if !l.listener.open {
		return // Shutdown came before the loops had begun
	}
	if err := l.kernel.Add(l.listener.fd, listenerToken, epoll.In); err != nil {
		l.pauseAccept(err.Error()) // the kernel may have room for it later
	}
}

// stopAccept takes those that have already connected, so that each gets its
// answer (or, before TLS, its end), and closes the listener.
func (l *loop) stopAccept() {
	if l.listener == nil || !l.listener.open {
		return
	}
	for range backlogBatches {
		if !l.acceptAll() {
			break
		}
	}
	l.listener.paused.Store(false)
	_ = l.kernel.Remove(l.listener.fd) // closing does not, if others have the socket too; it may be removed already
	l.listener.close()
}

// acceptBatch is how many clients are accepted in one turn at the most.
const acceptBatch = 64

// backlogBatches bounds what is accepted when the listener is to be closed.
const backlogBatches = 64

// acceptPause is how long accepting rests when no descriptor is left, unless a
// session ends before.
const acceptPause = 100 * time.Millisecond

// acceptAll takes the clients that have connected, and reports whether there
// may be more.
func (l *loop) acceptAll() (more bool) {
	if !l.listener.open {
		return false // the event came with others, one of which has closed it
	}
	for range acceptBatch {
		if l.waitForPage() {
			return false
		}
		if l.server.crowded() {
			l.pauseAccept("too many clients to refuse them all at once")
			return false
		}
		conn, from, err := l.kernel.Accept(l.listener.fd, l.listener.shared)
		switch {
		case err == nil:
			l.place(conn, from)
		case err == errAgain:
			return false
		default:
			l.pauseAccept(os.NewSyscallError("accept4", err).Error())
			if err == unix.EMFILE || err == unix.ENFILE {
				l.server.pages.Yield()
			}
			return false
		}
	}
	return true
}

// waitForPage makes an idle page connection give way to a client that has connected,
// if there is no other room for that client. It then returns true: accepting rests
// until the page connection is closed, and the client waits in the kernel's queue.
func (l *loop) waitForPage() bool {
	if l.draining || !l.server.full() || l.server.pages.Idle() == 0 || !l.kernel.Waiting(l.listener.fd) {
		return false
	}
	l.restAccept()
	l.server.pages.Yield()
	return true
}

// place hands a client to the loop that has the fewest. One whose address has
// no seat left, not even to be refused, is closed at once.
func (l *loop) place(conn transport, from netip.AddrPort) {
	seat := l.server.enterAtDoor(from.Addr())
	if seat == peraddress.TurnedAway {
		_ = conn.Close() // it is given up either way
		l.metrics.Handshake(metrics.ResultLimitPerIP)
		l.log.Debug("connection closed at once", "client", clientName(from), "why", errAddressFull)
		return
	}
	var refusal *upgrade.Refusal
	if l.server.countEntry() {
		refusal = refuseFull
	}
	to := l.server.chooseLoop()
	if to == l {
		l.accepted(conn, from, seat, refusal)
		return
	}
	if !to.post(func() { to.accepted(conn, from, seat, refusal) }) {
		to.takesNone(conn, from, seat)
	}
}

// takesNone closes a client's connection that was for a loop that has ended.
func (l *loop) takesNone(conn transport, from netip.AddrPort, seat peraddress.Seat) {
	_ = conn.Close() // nobody is left to be told
	l.sessions.Add(-1)
	l.server.left(from.Addr(), seat)
}

// pauseAccept is restAccept, and says why.
func (l *loop) pauseAccept(why string) {
	l.restAccept()
	if l.now >= l.listener.silentTo {
		l.listener.silentTo = l.now.Add(time.Minute)
		l.log.Warn("accepting pauses until there is room; more clients wait in the kernel's queue",
			"why", why, "sessions", l.server.Sessions(), "limit", l.server.limit)
	}
}

// restAccept stops looking at the listener for a while, which would report the clients
// that cannot be accepted again and again.
func (l *loop) restAccept() {
	if !l.listener.paused.Swap(true) {
		_ = l.kernel.Remove(l.listener.fd) // it fails only if the listener could not be registered
	}
	l.wheel.Set(listenerSlot, l.now.Add(acceptPause))
}

func (l *loop) resumeAccept() {
	l.wheel.Set(listenerSlot, heartbeat.Never)
	if !l.listener.open || !l.listener.paused.Swap(false) {
		return
	}
	l.startAccept()
	l.acceptAll()
}
