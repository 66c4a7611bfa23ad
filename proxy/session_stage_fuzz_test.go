package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
)

// FuzzSession plays a random script on a whole session and holds it against a
// model: the data frames that one peer receives are those that the other sent,
// in order and to the byte; nothing follows a Close; every session is counted once.
//
// Each step takes two bytes of the script: what is done, and how much of it.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 5, 1, 200, 2, 3, 3, 9, 4, 50, 8, 0, 12, 30, 0, 1})
	f.Add([]byte{6, 255, 7, 255, 14, 100, 15, 100, 6, 255, 13, 7, 10, 2, 11, 2})
	f.Add([]byte{2, 1, 4, 1, 10, 0, 0, 1, 1, 1})
	f.Add([]byte{8, 3, 9, 4, 12, 255, 5, 5, 11, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		st := newStage(t, nil)
		c, u := st.session(false)
		model := [2]*model{client: {peer: c}, upstream: {peer: u}}
		for len(script) >= 2 {
			step, size := script[0], int(script[1])
			script = script[2:]
			model[step%2].play(model[1-step%2], int(step/2)%8, size)
		}
		for _, m := range model {
			m.peer.sendable = false
			m.check(model[opposite(m.peer.side)])
		}
		for _, m := range model {
			m.peer.close()
		}
		st.run()
		st.pass(time.Minute) // every deadline of an end
		got := fixture.Counted(t, st.metrics.Registry())
		if ended := sumOf(got, "sessions_closed_total") + sumOf(got, "sessions_dropped_total"); ended != 1 {
			t.Errorf("the session was counted %v times", ended)
		}
		if got["sessions_active"] != 0 || st.l.table.live != 0 || st.l.wheel.Len() != 0 {
			t.Error("something of the session is left")
		}
	})
}

func sumOf(got map[string]float64, prefix string) (sum float64) {
	for name, n := range got {
		if strings.HasPrefix(name, prefix) {
			sum += n
		}
	}
	return sum
}

// A model is what one peer has sent and received.
type model struct {
	peer     *peer
	sent     []wire.Frame // data frames, and the Close if there was one
	received []wire.Frame
	open     bool // a fragmented message is under way
	over     bool // it has sent its Close
	pings    []wire.Frame
}

// play does one step of a script. Everything that is sent is valid.
func (m *model) play(other *model, step, size int) {
	switch step {
	case 0, 1, 2, 3: // data of growing sizes, whole or in fragments
		m.sendData(size<<(2*step), size%3 == 0)
	case 4:
		m.send(wire.Ping(strings.Repeat("p", size%126)))
	case 5:
		m.send(wire.Pong(strings.Repeat("q", size%126)))
	case 6:
		m.peer.st.pass(time.Duration(size) * 100 * time.Millisecond)
		m.check(other)
		other.check(m)
		m.answerPings()
		other.answerPings()
	case 7:
		if size > 128 { // seldom: an end is an end
			m.send(wire.Close(1000+size%4, "so long"))
		}
	}
}

func (m *model) sendData(size int, unfinished bool) {
	f := wire.Binary(strings.Repeat("d", size))
	if m.open {
		f.Op = ws.OpContinuation
	}
	f.Fin = !unfinished
	if m.send(f) {
		m.open = unfinished
	}
}

// send writes a frame in two chunks, as far as the socket takes it.
func (m *model) send(f wire.Frame) bool {
	if m.over || !m.peer.sendable {
		return false
	}
	b := wire.Encode(m.peer.side == client, f)
	half := len(b) / 2
	for _, part := range [][]byte{b[:half], b[half:]} {
		for len(part) > 0 {
			n, err := unix.Write(m.peer.fd, part)
			if err != nil && err != unix.EAGAIN {
				m.peer.sendable, m.over = false, true
				return false
			}
			if part = part[max(n, 0):]; n <= 0 {
				m.peer.othersRead()
			}
			m.peer.st.run()
		}
	}
	if f.Op != ws.OpPing && f.Op != ws.OpPong {
		m.sent = append(m.sent, f)
	}
	m.over = f.Op == ws.OpClose
	return true
}

// check reads what has come, and holds it against what the other peer sent.
func (m *model) check(other *model) {
	t := m.peer.st.t
	t.Helper()
	m.peer.read()
	for _, f := range m.peer.wholeFrames() {
		if n := len(m.received); n > 0 && m.received[n-1].Op == ws.OpClose {
			t.Fatalf("%v got %v after a Close", m.peer.side, f)
		}
		switch f.Op {
		case ws.OpPing:
			m.pings = append(m.pings, f)
		case ws.OpPong:
		default:
			m.received = append(m.received, f)
		}
	}
	for i, f := range m.received {
		if f.Op == ws.OpClose && (i >= len(other.sent) || other.sent[i].Op != ws.OpClose) {
			return // of the proxy's own; what came before it was compared
		}
		if i >= len(other.sent) || f != other.sent[i] {
			t.Fatalf("%v's frame %d is %v, which the other peer did not send", m.peer.side, i, f)
		}
	}
}

func (m *model) answerPings() {
	for _, p := range m.pings {
		m.send(wire.Pong(p.Payload))
	}
	m.pings = nil
}
