package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/internal/race"
	"holdfast/internal/wire"
)

// TestRandomEnds plays random scripts of what peers do to a session, and to each
// other's last words. After every step whatever waits has a deadline (see
// stage.wantsOrder). An hour later every session has ended, since nobody answers
// pings; it is counted once, and nothing is left of it.
func TestRandomEnds(t *testing.T) {
	scripts := 300
	if race.Enabled && !testing.Short() {
		scripts = 3000
	}
	for seed := range uint64(scripts) {
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { playRandomEnd(t, seed) }) {
			return
		}
	}
}

func playRandomEnd(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	st := newStage(t, func(c *Config) {
		c.Client.Liveness = heartbeat.Liveness(rnd.IntN(2))
		c.UpstreamSide.Pong = heartbeat.RequirePong
		c.PeerPings = PeerPings(rnd.IntN(2))
		c.WriteTimeout = time.Duration(1+rnd.IntN(40)) * time.Second
		if rnd.IntN(3) == 0 {
			c.IdleTimeout = time.Duration(1+rnd.IntN(60)) * time.Second
		}
	})
	c, u := st.session(false)
	peers := [...]*vandal{{peer: c}, {peer: u}}
	for range 3 + rnd.IntN(20) {
		peers[rnd.IntN(2)].does(rnd)
	}
	st.pass(time.Hour)
	got := fixture.Counted(t, st.metrics.Registry())
	ended := sumOf(got, "sessions_closed_total") + sumOf(got, "sessions_dropped_total")
	if left := st.l.table.live; ended != 1 || left != 0 || got["sessions_active"] != 0 {
		t.Errorf("%v ends are counted, %v sessions are left, %v active", ended, left, got["sessions_active"])
		st.l.table.all(func(s *session) { t.Logf("left: %+v", *s) })
	}
	if n := got["sessions_dropped_total{internal,proxy}"]; n != 0 {
		t.Error("the session has ended without a cause")
	}
}

// A vandal is a peer that does anything but answer pings.
type vandal struct{ *peer }

func (v *vandal) does(rnd *rand.Rand) {
	if v.fd < 0 {
		v.st.pass(time.Duration(rnd.IntN(30)) * time.Second)
		return
	}
	switch rnd.IntN(15) {
	case 0, 1:
		v.tries(wire.Text(strings.Repeat("t", rnd.IntN(300))))
	case 2:
		v.tries(wire.Binary(strings.Repeat("b", rnd.IntN(60_000))))
	case 3:
		v.tries(wire.Ping("p"), wire.Pong("q"))
	case 4:
		v.tries(wire.Close([]int{0, 1000, 4000}[rnd.IntN(3)], ""))
	case 5:
		v.tries(wire.Frame{Op: 3, Fin: true}) // a reserved opcode
	case 6: // the beginning of a frame, and nothing follows
		_, _ = unix.Write(v.fd, wire.Encode(v.side == client, wire.Text("unfinished"))[:3+rnd.IntN(8)])
		v.st.run()
	case 7:
		_ = unix.Shutdown(v.fd, unix.SHUT_WR)
		v.st.run()
	case 8: // what is written to it fails, and its stream goes on
		_ = unix.Shutdown(v.fd, unix.SHUT_RD)
		v.st.run()
	case 9:
		v.close()
		v.st.run()
	case 10:
		v.read()
	case 12: // a message in fragments, whose end may not follow
		v.tries(wire.Text("fragment").More())
	case 13:
		v.tries(wire.Continuation("fragment").More(), wire.Continuation("the end"))
	case 11: // megabytes, and whatever it is told meanwhile
		for range 20 + rnd.IntN(20) {
			v.tries(wire.Binary(strings.Repeat("f", 60_000)))
		}
	default:
		v.st.pass(time.Duration(rnd.IntN(30)) * time.Second)
	}
}

// tries sends frames, if the socket takes them.
func (v *vandal) tries(frames ...wire.Frame) {
	for _, f := range frames {
		if v.fd < 0 {
			return
		}
		_, _ = unix.Write(v.fd, wire.Encode(v.side == client, f))
		v.st.run()
	}
}
