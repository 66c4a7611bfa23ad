package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/internal/race"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/message"
)

// setApps sets all messages of applications on both legs.
func setApps(t testing.TB, cfg *Config) {
	t.Helper()
	pong, err := message.ParsePattern("pong *")
	if err != nil {
		t.Fatal(err)
	}
	answers, err := message.ParseAnswers("ping *=>pong *")
	if err != nil {
		t.Fatal(err)
	}
	for _, app := range []*App{&cfg.ClientApp, &cfg.UpstreamApp} {
		*app = App{Ping: "ping 1", Interval: 20 * time.Second, Pong: &pong, Answers: answers}
	}
}

// A session with messages of applications has the extras and a pointer to them beside its
// struct.
func TestExtrasSize(t *testing.T) {
	if size := unsafe.Sizeof(extras{}); size > 240 {
		t.Errorf("the extras of a session have %d bytes, want at most 240, which is a size class", size)
	}
}

// Only a session whose configuration asks for extras pays for them.
func TestExtrasAllocations(t *testing.T) {
	without := newScriptedWorld(t)
	plain := testing.AllocsPerRun(100, without.opensAndCloses)
	if without.l.extras != nil {
		t.Error("a loop has a slice for extras, and no session has any")
	}
	cfg := testConfig()
	setApps(t, &cfg)
	all := testing.AllocsPerRun(100, newScriptedWorldOf(t, cfg).opensAndCloses)
	if !race.Enabled && plain > 27 || all > plain+1 {
		t.Errorf("a session that opens and closes allocates %v times, and %v times with extras; want at most 27, and once more", plain, all)
	}
}

func TestMessageThatPassesAllocatesNothing(t *testing.T) {
	for _, size := range []int{64, 1 << 10, 4 << 10} {
		st := newStage(t, func(c *Config) { setApps(t, c) })
		c, u := st.session(false)
		frame := wire.Encode(true, wire.Text(strings.Repeat("p", size)))
		buf := make([]byte, 8192)
		allocs := testing.AllocsPerRun(1000, func() {
			unix.Write(c.fd, frame)
			events, _ := st.l.epoll.Poll()
			st.l.turn(st.now, events)
			unix.Read(u.fd, buf)
		})
		if allocs != 0 {
			t.Errorf("a text message of %d bytes that passes allocates %v times", size, allocs)
		}
	}
}

func TestAppHeartbeatAllocatesNothing(t *testing.T) {
	st := newStage(t, func(c *Config) { setApps(t, c) })
	c, u := st.session(false)
	buf := make([]byte, 4096)
	pings, pongs := wire.Encode(false, wire.Text("ping 1")), wire.Encode(true, wire.Text("pong 1"))
	sent := 0
	round := func() {
		st.now = st.now.Add(20 * time.Second)
		events, _ := st.l.epoll.Poll()
		st.l.turn(st.now, events)
		n, _ := unix.Read(c.fd, buf)
		sent += bytes.Count(buf[:n], pings)
		unix.Read(u.fd, buf)
		unix.Write(c.fd, pongs)
		events, _ = st.l.epoll.Poll()
		st.l.turn(st.now, events)
	}
	round() // the histograms' buckets are made once
	allocs := testing.AllocsPerRun(200, round)
	if allocs != 0 || sent < 200 {
		t.Errorf("%d heartbeats were sent, and each allocates %v times; want one each round that allocates nothing", sent, allocs)
	}
}
