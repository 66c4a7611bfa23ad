package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
)

// A failing kernel is an invented one whose n-th change of what is waited for fails, as
// epoll_ctl does when the kernel has no memory or no watch left.
type failing struct {
	*invented
	left int // calls until one fails
}

func (k *failing) fails() error {
	if k.left--; k.left == 0 {
		return unix.ENOMEM
	}
	return nil
}

func (k *failing) Add(fd int, t epoll.Token, want epoll.Ready) error {
	if err := k.fails(); err != nil {
		return err
	}
	return k.invented.Add(fd, t, want)
}

func (k *failing) Modify(fd int, t epoll.Token, want epoll.Ready) error { return k.Add(fd, t, want) }
func (k *failing) Remove(fd int) error                                  { return k.Add(fd, 0, 0) }

// Whatever call to the poller fails, its session ends, nothing is left behind, and the
// loop goes on.
func TestPollerFails(t *testing.T) {
	for n, failed := 1, true; failed; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newInventedWorld(t, nil)
			k := &failing{w.kernel, n}
			w.l.kernel = k
			w.livesManyLives()
			if got := fixture.Counted(t, w.server.cfg.Metrics.Registry())["sessions_active"]; got != 0 {
				t.Errorf("%v sessions are active", got)
			}
			if w.l.table.live != 0 || len(w.kernel.sockets) != 0 || w.server.live.Load() != 0 || w.l.sessions.Load() != 0 {
				t.Errorf("%d sessions, %d sockets and %d clients are left, and %d are counted for the loop",
					w.l.table.live, len(w.kernel.sockets), w.server.live.Load(), w.l.sessions.Load())
			}
			failed = k.left <= 0 && !t.Failed() // else there is no n-th call
			k.left = 0
			w.opens()
		})
	}
}

// livesManyLives lets clients of all kinds come and go. What they are told depends on
// which call fails.
func (w *inventedWorld) livesManyLives() {
	page, wrong, asks := w.dials(), w.dials(), w.dials()
	page.tries("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	wrong.tries("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	asks.tries(wire.Request())
	for len(w.kernel.dialled) > 0 {
		u := w.accepts()
		if asked, err := wire.ParseRequest(u.told()); err == nil {
			u.tries(wire.Answer(asked))
		}
		asks.told()
		u.tries(string(wire.Encode(false, wire.Binary(strings.Repeat("z", 2*room))))) // more than the client's socket takes
		asks.told()
		u.tries(string(wire.Encode(false, wire.Close(1000, ""))))
		asks.told()
		asks.tries(string(wire.Encode(true, wire.Close(1000, ""))))
		u.hangsUp()
	}
	for _, c := range []*farPeer{page, wrong, asks} {
		c.hangsUp()
	}
	w.pass(time.Minute)
}

// tries writes what the loop's end takes, until that is gone.
func (p *farPeer) tries(s string) {
	for s != "" && !p.socket.other.closed {
		n, err := p.socket.Write([]byte(s))
		s = s[n:]
		p.w.run()
		if err == errAgain && n == 0 {
			return
		}
	}
}
