package web

import (
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often a client is looked at whose request is being answered.
const watchEvery = time.Second

// watch calls gone when the client has ended its connection. net/http watches too, but
// only until the client sends a byte behind its request.
func (g *Guest) watch(gone func()) (stop func()) {
	conn, ok := g.Conn.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return func() {} // it is closed, which net/http notices
	}
	w := &watcher{raw: raw, gone: gone}
	w.timer = time.AfterFunc(time.Hour, w.look) // set before look can need it
	w.timer.Reset(watchEvery)
	return w.stop
}

type watcher struct {
	raw     syscall.RawConn
	gone    func()
	timer   *time.Timer
	stopped atomic.Bool
}

func (w *watcher) look() {
	ended := false
	err := w.raw.Control(func(fd uintptr) { ended = hasEnded(int(fd)) })
	switch {
	case err != nil || ended:
		w.gone()
	case !w.stopped.Load():
		w.timer.Reset(watchEvery)
	}
}

func (w *watcher) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

// hasEnded reports whether the far end has ended its direction of a connection,
// whatever is still to be read of it.
func hasEnded(fd int) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(polled, 0)
	return err == nil && n > 0 && polled[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
