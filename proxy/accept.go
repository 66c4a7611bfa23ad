package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// A listener is the socket that clients connect to. One loop accepts from it and gives
// each client to the loop that has the fewest.
type listener struct {
	fd       int
	addr     net.Addr
	file     socketFile     // of the unix socket that listen made, to be removed by close
	shared   bool           // other processes may have the socket too, see socket.AcceptShared
	open     bool           // owned by the accepting loop
	paused   atomic.Bool    // accepting rests, see restAccept; written by the accepting loop
	silentTo heartbeat.Time // no warning before; owned by the accepting loop
	invented func()         // closes a listener of an invented kernel; nil for a real one
}

const listenerToken = epoll.Token(listenerSlot)

// listen binds with the standard library, which knows names and address families, and
// takes a duplicate of the descriptor.
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

// take duplicates the descriptor of std and sets its options.
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

// unixScheme begins the address of a unix socket; its path follows.
const unixScheme = "unix:"

// bind makes the listening socket. file is the file of a unix socket that bind made, else
// the zero socketFile.
func bind(cfg *Config) (std net.Listener, file socketFile, err error) {
	if cfg.ListenFile != nil {
		std, err = net.FileListener(cfg.ListenFile)
		return std, socketFile{}, err
	}
	if path, isUnix := strings.CutPrefix(cfg.Listen, unixScheme); isUnix {
		return bindUnix(path, cfg.ListenMode)
	}
	var how net.ListenConfig
	how.SetMultipathTCP(false) // its sockets refuse TCP_USER_TIMEOUT
	std, err = how.Listen(context.Background(), "tcp", cfg.Listen)
	return std, socketFile{}, err
}

func (ln *listener) close() {
	ln.open = false
	_ = ln.file.remove() // before the close: another process would take a closed socket for stale and replace its file
	switch {
	case ln.invented != nil:
		ln.invented()
	case ln.fd >= 0:
		unix.Close(ln.fd)
	}
}

func (l *loop) startAccept() {
	l.faults.duty = acceptDuty
	if !l.listener.open {
		return // Shutdown came before the loops had begun
	}
	if err := l.kernel.Add(l.listener.fd, listenerToken, epoll.In); err != nil {
		l.pauseAccept(err.Error()) // the kernel may have room for it later
	}
}

// stopAccept accepts the clients that have already connected, so that each gets its
// answer (or, before TLS, its end), and closes the listener.
func (l *loop) stopAccept() {
	if l.listener == nil || !l.listener.open {
		return
	}
	defer l.closeListener()
	for range backlogBatches {
		if !l.acceptAll() {
			break
		}
	}
}

func (l *loop) closeListener() {
	defer l.listener.close()
	l.listener.paused.Store(false)
	l.wheel.Cancel(listenerSlot)
	_ = l.kernel.Remove(l.listener.fd) // Close does not remove it if other processes have the socket; it may be removed already
}

// acceptBatch is how many clients are accepted in one turn at most.
const acceptBatch = 64

// backlogBatches bounds what stopAccept accepts.
const backlogBatches = 64

// acceptPause is how long accepting rests if no client leaves before.
const acceptPause = 100 * time.Millisecond

// acceptAll accepts the clients that have connected, one batch at most. It reports
// whether more may be waiting.
func (l *loop) acceptAll() (more bool) {
	if !l.listener.open {
		return false // an event of the same batch has closed it
	}
	for range acceptBatch {
		l.faults.duty = acceptDuty
		if l.waitForPage() {
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

// waitForPage makes an idle page connection give way to a client that has connected, if
// there is no other room for the client. It then returns true: accepting rests until the
// page connection is closed, and the client waits in the kernel's queue.
func (l *loop) waitForPage() bool {
	if l.draining || !l.server.inside.full() || l.server.pages.Idle() == 0 || !l.kernel.Waiting(l.listener.fd) {
		return false
	}
	l.restAccept()
	l.server.pages.Yield()
	return true
}

// place hands a client to the loop that has the fewest. If there is not even room to refuse
// the client, or its address has no seat for that, place closes the connection at once.
func (l *loop) place(conn transport, from netip.AddrPort) {
	seat := l.seatAtDoor(conn, from.Addr())
	if seat == peraddress.TurnedAway {
		l.shutOut(conn, from, metrics.ResultLimitPerIP, errAddressFull, nil)
		return
	}
	has, ok := l.server.letIn()
	if !ok {
		l.server.perAddress.Leave(from.Addr(), seat)
		if l.draining {
			l.shutOut(conn, from, metrics.ResultDraining, errShutdown, refuseDraining)
		} else {
			l.shutOut(conn, from, metrics.ResultLimit, errCrowded, refuseFull)
		}
		return
	}
	to := l.server.chooseLoop()
	if to == l {
		l.accepted(conn, from, seat, has)
		return
	}
	if !to.post(func() { to.accepted(conn, from, seat, has) }) {
		to.takesNone(conn, from, seat, has)
	}
}

var errCrowded = errors.New("the limit of file descriptors allows no more clients")

// shutOut closes the connection of a client for which there is no room. Without TLS the
// client gets what the kernel takes of r, if r is not nil. What it has sent is read before
// the close, which would send a reset otherwise.
func (l *loop) shutOut(conn transport, from netip.AddrPort, result metrics.Result, why error, r *upgrade.Refusal) {
	defer func() { _ = conn.Close() }() // it is given up either way
	if r != nil && l.cfg.TLS == nil {
		_, _ = conn.WriteLast(r.Append(nil))        // what is not taken is lost
		_, _ = conn.Read(l.in[:readSize], readSize) // nothing is done with it
	}
	l.metrics.Handshake(result)
	if l.server.mayLog(slog.LevelInfo, result) {
		l.log.Info("connection closed at once", "client", ClientName(from), "why", why)
	}
}

// seatAtDoor returns the seat of a client that has just connected. If that panics, it
// closes the connection, which no session has yet.
func (l *loop) seatAtDoor(conn transport, from netip.Addr) (seat peraddress.Seat) {
	seated := false
	defer func() {
		if !seated {
			_ = conn.Close() // it is given up either way
		}
	}()
	seat, seated = l.server.enterAtDoor(from), true
	return seat
}

// takesNone closes a client's connection that was meant for l, which has ended.
func (l *loop) takesNone(conn transport, from netip.AddrPort, seat peraddress.Seat, has standing) {
	_ = conn.Close() // nothing can be done about an error
	l.sessions.Add(-1)
	l.server.left(from.Addr(), seat, has)
}

// pauseAccept rests accepting and logs why, once a minute at most.
func (l *loop) pauseAccept(why string) {
	l.restAccept()
	if l.now >= l.listener.silentTo {
		l.listener.silentTo = l.now.Add(time.Minute)
		l.log.Warn("accepting pauses until there is room; more clients wait in the kernel's queue",
			"why", why, "clients", l.server.Clients(), "limit", l.server.permits.size)
	}
}

// restAccept stops watching the listener for acceptPause. Otherwise the listener would be
// reported in every turn while its clients cannot be accepted.
func (l *loop) restAccept() {
	l.wheel.Set(listenerSlot, l.now.Add(acceptPause))
	if !l.listener.paused.Swap(true) {
		_ = l.kernel.Remove(l.listener.fd) // it fails only if the listener is not registered
	}
}

func (l *loop) resumeAccept() {
	l.faults.duty = acceptDuty
	l.wheel.Set(listenerSlot, heartbeat.Never)
	if !l.listener.open || !l.listener.paused.Swap(false) {
		return
	}
	l.startAccept()
	l.acceptAll()
}
