package proxy

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/backend"
)

// ends are the ways in which the sessions of TestWholeLives end, and how each is counted.
var ends = []struct {
	counted string
	how     func(w *inventedWorld, c, u *farPeer)
}{
	{"sessions_closed_total{client}", func(w *inventedWorld, c, u *farPeer) {
		c.sends(wire.Close(1000, ""))
		u.sends(wire.Close(1000, ""))
		u.hangsUp()
		c.hangsUp()
	}},
	{"sessions_closed_total{upstream}", func(w *inventedWorld, c, u *farPeer) {
		u.sends(wire.Close(4000, "x"))
		c.sends(wire.Close(4000, "x"))
		c.hangsUp()
		u.hangsUp()
	}},
	{"sessions_dropped_total{eof,client}", func(w *inventedWorld, c, u *farPeer) {
		c.hangsUp()
		u.hangsUp()
	}},
	{"sessions_dropped_total{eof,upstream}", func(w *inventedWorld, c, u *farPeer) {
		u.hangsUp()
		c.hangsUp()
	}},
	{"sessions_dropped_total{protocol_error,client}", func(w *inventedWorld, c, u *farPeer) {
		c.sends(wire.Frame{Op: 3, Fin: true})
		u.hangsUp()
		c.hangsUp()
	}},
	{"sessions_dropped_total{close_timeout,upstream}", func(w *inventedWorld, c, u *farPeer) {
		c.sends(wire.Close(1000, ""))
		u.told()
		w.pass(10 * time.Second)
		c.hangsUp()
	}},
	{"sessions_dropped_total{ping_timeout,client}", func(w *inventedWorld, c, u *farPeer) {
		w.pass(21 * time.Second)
		c.told()
		w.pass(20 * time.Second)
		u.hangsUp()
	}},
	{"sessions_dropped_total{write_timeout,client}", func(w *inventedWorld, c, u *farPeer) {
		c.told()
		u.sends(wire.Binary(strings.Repeat("z", 60_000)), wire.Binary(strings.Repeat("z", 60_000)))
		w.pass(30 * time.Second)
		u.hangsUp()
	}},
}

// Whole lives pass without a descriptor: accept, handshake, frames, heartbeats and
// each kind of end. A loop asks nothing but its kernel, its clock and its source.
// A process of their own may open none, so that one which is opened and closed fails too.
func TestWholeLives(t *testing.T) {
	if os.Getenv(noDescriptors) == "" {
		livesWithoutDescriptors(t)
		return
	}
	opensNone(t)
	for _, end := range ends {
		t.Run(end.counted, func(t *testing.T) {
			w := newInventedWorld(t, func(c *Config) { c.UpstreamSide.Pong = heartbeat.IgnorePong })
			c, u := w.opens()
			c.sends(wire.Text("hello"))
			u.wants("data", wire.Text("hello"))
			u.sends(wire.Binary("world"))
			c.wants("data", wire.Binary("world"))
			end.how(w, c, u)
			w.over(end.counted, 1)
		})
	}
}

// noDescriptors is the variable that makes this program the process that may open none.
const noDescriptors = "HOLDFAST_TEST_NO_DESCRIPTORS"

// livesWithoutDescriptors runs the calling test again in a process of its own.
func livesWithoutDescriptors(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command(self, "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), noDescriptors+"=1")
	said, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if last := ends[len(ends)-1].counted; !strings.Contains(string(said), "--- PASS: "+t.Name()+"/"+last) {
		t.Errorf("the lives did not run:\n%s", said)
	}
}

// opensNone takes from this process, until the test ends, what it needs to open a descriptor.
func opensNone(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	if file, err := os.Open("/dev/null"); err == nil {
		file.Close()
		t.Fatal("a descriptor can still be opened")
	}
}

// over checks that so many sessions, all that there were, have ended like that and
// left nothing behind.
func (w *inventedWorld) over(counted string, n float64) {
	w.t.Helper()
	got := fixture.Counted(w.t, w.server.cfg.Metrics.Registry())
	if got[counted] != n || got["sessions_opened_total"] != n || got["sessions_active"] != 0 {
		w.t.Errorf("%s is %v, %v opened and %v active, want %v, %v and 0", counted, got[counted],
			got["sessions_opened_total"], got["sessions_active"], n, n)
	}
	if w.l.table.live != 0 || len(w.kernel.sockets) != 0 || w.server.live.Load() != 0 {
		w.t.Errorf("%d sessions, %d sockets and %d clients are left", w.l.table.live, len(w.kernel.sockets), w.server.live.Load())
	}
}

// Sessions live on when their target goes down: dials and checks say nothing about a
// connection that exists. Only a session's own deadlines end it.
func TestSessionsOfATargetThatGoesDown(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, u := w.opens()
	target := w.server.oneTarget()
	target.Leave()
	for target.Up() {
		target.Learn(backend.ErrTimeout)
	}
	for range 10 {
		w.pass(20 * time.Second)
		c.sends(c.wantsPing("the session lives"))
		u.sends(u.wantsPing("the session lives"))
		c.sends(wire.Text("to the service"))
		u.wants("the session lives", wire.Text("to the service"))
		u.sends(wire.Text("to the client"))
		c.wants("the session lives", wire.Text("to the client"))
	}
	if target.Up() {
		t.Error("the target is up again")
	}
	c.sends(wire.Close(1000, ""))
	u.wants("the client leaves", wire.Close(1000, ""))
	u.sends(wire.Close(1000, ""))
	c.hangsUp()
	u.hangsUp()
	w.over("sessions_closed_total{client}", 1)
}

// So many heartbeats fall due together that the loop looks for events between them.
func TestManyTimersAtOnce(t *testing.T) {
	w := newInventedWorld(t, func(c *Config) { c.UpstreamSide.Interval = 0 })
	const sessions = 4 * alarmsInARow
	var clients []*farPeer
	for range sessions {
		c, _ := w.opens()
		clients = append(clients, c)
	}
	for range 5 {
		w.pass(20 * time.Second)
		for i, c := range clients {
			c.sends(c.wantsPing(fmt.Sprint("due at client ", i)))
		}
	}
	got := fixture.Counted(t, w.server.cfg.Metrics.Registry())
	if n := got["pongs_received_total{client}"]; n != 5*sessions {
		t.Errorf("%v pongs are counted, want %d", n, 5*sessions)
	}
}

// A stop ends handshakes and sessions in every step.
func TestStopOfManyLives(t *testing.T) {
	w := newInventedWorld(t, nil)
	c, u := w.opens()
	silent := w.dials()
	asking := w.dials()
	asking.sendsString(wire.Request())
	asked := w.accepts()
	w.l.shutDoor()
	w.l.drain(0)
	w.run()
	if got := asking.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("a handshake under way is told %q", got)
	}
	if got := silent.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("a client that has said nothing is told %q", got)
	}
	c.wants("the session is drained", wire.Close(1012, "proxy is shutting down"))
	for _, s := range []*farPeer{c, u, silent, asking, asked} {
		s.hangsUp()
	}
	w.over("sessions_dropped_total{drain,proxy}", 1)
}

// A refusal of the invented kernel is one of the upstream.
func TestInventedRefusal(t *testing.T) {
	w := newInventedWorld(t, nil)
	w.kernel.refuses = true
	c := w.dials()
	c.sendsString(wire.Request())
	if got := c.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("the client is told %q", got)
	}
	c.hangsUp()
	if left := fmt.Sprint(len(w.kernel.sockets), w.server.live.Load()); left != "0 0" {
		t.Errorf("sockets and clients that are left: %s", left)
	}
}
