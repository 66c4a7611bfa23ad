package proxy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
)

// newLimitedWorld is an invented world with one permit.
func newLimitedWorld(t *testing.T) *inventedWorld {
	return newInventedWorld(t, func(c *Config) { c.MaxSessions = 1 })
}

// wantsRooms checks how many permits and places in the lobby are taken, and that they belong
// to the clients that the loop has.
func (w *inventedWorld) wantsRooms(why string, permits, lobby int64) {
	w.t.Helper()
	held, err := w.l.auditAll(nil)
	if err := errors.Join(err, held.checkRooms(w.server)); err != nil {
		w.t.Fatalf("%s: %v", why, err)
	}
	if p, l := w.server.permits.taken.Load(), w.server.lobby.taken.Load(); p != permits || l != lobby {
		w.t.Fatalf("%s: %d permits and %d places in the lobby are taken, want %d and %d", why, p, l, permits, lobby)
	}
}

// isRefused leads a client to the 503 for want of a permit.
func (w *inventedWorld) isRefused(why string) *farPeer {
	w.t.Helper()
	c := w.dials()
	c.sendsString(wire.Request())
	c.wantsStatus(why, "503")
	return c
}

func (p *farPeer) wantsStatus(why, status string) {
	p.w.t.Helper()
	if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
		p.w.t.Fatalf("%s: the client is told %.60q, want status %s", why, got, status)
	}
}

// The permit is back while the client still has its connection, and the next client gets it.
func TestLazyClientKeepsNoPermit(t *testing.T) {
	for name, becomesLazy := range map[string]struct {
		how   func(w *inventedWorld)
		lobby int64
	}{
		"its request is refused": {func(w *inventedWorld) {
			c := w.dials()
			w.wantsRooms("it has connected", 1, 0)
			c.sendsString("nonsense\r\n\r\n")
			c.wantsStatus("there is no request", "400")
		}, 1},
		"its request does not come": {func(w *inventedWorld) {
			c := w.dials()
			w.pass(10 * time.Second)
			c.wantsStatus("its time is up", "408")
		}, 1},
		"the upstream refuses the connection": {func(w *inventedWorld) {
			w.kernel.refuses = true
			c := w.dials()
			c.sendsString(wire.Request())
			c.wantsStatus("nobody listens", "502")
			w.kernel.refuses = false
		}, 1},
		"the upstream does not answer": {func(w *inventedWorld) {
			c := w.dials()
			c.sendsString(wire.Request())
			w.accepts()
			w.pass(60 * time.Second)
			c.wantsStatus("its time is up", "504")
		}, 1},
		"the peers have closed their session": {func(w *inventedWorld) {
			c, u := w.opens()
			c.sends(wire.Close(1000, ""))
			u.sends(wire.Close(1000, ""))
			w.wantsRooms("the upstream's TCP has not ended", 1, 0)
			u.hangsUp()
			c.wants("the answer", wire.Close(1000, ""))
		}, 0},
		"the upstream has left": {func(w *inventedWorld) {
			c, u := w.opens()
			u.hangsUp()
			c.wants("the session ends", wire.Close(1012, "upstream connection lost"))
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLimitedWorld(t)
			becomesLazy.how(w)
			w.wantsRooms("the client is waited for", 0, becomesLazy.lobby)
			if w.l.table.live != 1 {
				t.Fatalf("the loop has %d clients, want the one that stays", w.l.table.live)
			}
			c, u := w.opens()
			w.wantsRooms("the next client has a session", 1, becomesLazy.lobby)
			w.isRefused("there is one permit").hangsUp()
			w.wantsRooms("the refused client has left", 1, becomesLazy.lobby)
			c.hangsUp()
			u.hangsUp()
			w.pass(10 * time.Second)
			w.wantsRooms("all have left", 0, 0)
			if w.l.table.live != 0 || w.server.live.Load() != 0 {
				t.Errorf("the loop has %d clients, and %d are counted", w.l.table.live, w.server.live.Load())
			}
		})
	}
}

// The limit protects the upstream, too: its connection is closed before the permit is back.
func TestUpstreamThatClosesKeepsThePermit(t *testing.T) {
	w := newLimitedWorld(t)
	c, u := w.opens()
	c.hangsUp()
	u.wants("the client is gone", wire.Close(1001, "client connection lost"))
	w.wantsRooms("the upstream has not answered", 1, 0)
	w.isRefused("the upstream still has a session").hangsUp()
	u.hangsUp()
	w.wantsRooms("the upstream has gone", 0, 0)
	w.opens()
}

// A client that has found no permit may find one when it asks.
func TestPermitMayComeLate(t *testing.T) {
	w := newLimitedWorld(t)
	first := w.dials()
	late := w.dials()
	w.wantsRooms("the first has the permit", 1, 0)
	first.hangsUp()
	w.wantsRooms("nobody has asked for it", 0, 0)
	late.sendsString(wire.Request())
	w.accepts()
	w.wantsRooms("the other goes to the upstream", 1, 0)
}

// The lobby has room for some refused clients. The next ones are told, and not waited for.
func TestLobbyIsBounded(t *testing.T) {
	w := newLimitedWorld(t)
	w.server.setRooms(100, 2)
	w.opens()
	lazy := []*farPeer{w.isRefused("there is one permit"), w.isRefused("there is one permit")}
	w.wantsRooms("both are waited for", 1, 2)
	for range 3 {
		if c := w.isRefused("the lobby is full"); !c.socket.other.closed {
			t.Fatal("a client is waited for, and there is no room for that")
		}
	}
	w.wantsRooms("nobody else is", 1, 2)
	lazy[0].hangsUp()
	w.wantsRooms("one has left", 1, 1)
	if c := w.isRefused("there is one permit"); c.socket.other.closed {
		t.Error("a client is not waited for, and there is room for that")
	}
	w.pass(10 * time.Second)
	w.wantsRooms("their time is up", 1, 0)
}

// When the descriptors are used up, clients wait for their refusal in the lobby, and those
// beyond it are refused at once. None of them keeps a newcomer out.
func TestNoDescriptorIsLeft(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.server.setRooms(1, 1)
	c, u := w.opens()
	silent := w.dials()
	w.wantsRooms("one waits for its refusal", 1, 1)
	beyond := w.dials()
	beyond.wantsStatus("it is not even asked", "503")
	if !beyond.socket.other.closed {
		t.Error("a client is waited for, and there is no room for that")
	}
	w.wantsRooms("it has nothing", 1, 1)
	c.hangsUp()
	u.hangsUp()
	c, u = w.opens()
	w.wantsRooms("the newcomer has passed the one in the lobby", 1, 1)
	silent.sendsString(wire.Request())
	silent.wantsStatus("it is still one too many", "503")
	c.hangsUp()
	u.hangsUp()
	w.wantsRooms("only the lazy one is left", 0, 1)
}

// A client in the lobby goes in when there is room by the time at which it asks.
func TestClientLeavesTheLobby(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.server.setRooms(1, 1)
	c, u := w.opens()
	waiting := w.dials()
	w.wantsRooms("it is in the lobby", 1, 1)
	c.hangsUp()
	u.hangsUp()
	waiting.sendsString(wire.Request())
	w.accepts()
	w.wantsRooms("it goes to the upstream", 1, 0)
}

// At a stop there are no newcomers to keep room for. So each handshake is told, and waited
// for.
func TestStopWaitsForAllThatAreRefused(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.server.setRooms(100, 1)
	clients := []*farPeer{w.dials(), w.dials(), w.dials()}
	w.l.post(func() { w.l.shutDoor(); w.l.drain(0) })
	w.run()
	for _, c := range clients {
		c.wantsStatus("the proxy stops", "503")
		if c.socket.other.closed {
			t.Error("a client is not waited for")
		}
	}
	w.wantsRooms("all are waited for", 0, 1)
	w.pass(1900 * time.Millisecond)
	w.wantsRooms("the refusals may be under way", 0, 1)
	w.pass(100 * time.Millisecond)
	w.wantsRooms("their time is up", 0, 0)
}

// A client that was refused before a stop does not hold it up either.
func TestStopHurriesThoseThatWereRefused(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.server.setRooms(100, 1)
	lazy := w.dials()
	lazy.sendsString("this is not HTTP\r\n\r\n")
	lazy.wantsStatus("its request is malformed", "400")
	w.pass(time.Second)
	w.l.post(func() { w.l.shutDoor(); w.l.drain(0) })
	w.run()
	w.pass(1900 * time.Millisecond)
	if lazy.socket.other.closed {
		t.Error("the client is not waited for")
	}
	w.pass(100 * time.Millisecond)
	w.wantsRooms("its time is up", 0, 0)
}

// A client that has connected just before a stop is told of the stop, even if there is no
// room for it.
func TestStopTellsThoseThatFindNoRoom(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.server.setRooms(1, 1)
	var clients []*farPeer
	for range 4 {
		ours, theirs := w.kernel.pair()
		w.kernel.waiting = append(w.kernel.waiting, ours)
		clients = append(clients, &farPeer{w, client, theirs})
	}
	w.l.shutDoor() // before a turn could accept them
	w.run()
	for _, c := range clients {
		if got := c.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "shutting down") {
			t.Errorf("a client is told %.200q", got)
		}
	}
	w.wantsRooms("there is room for one, and for one in the lobby", 0, 1)
}
