package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// FuzzMessages sends a random stream in random chunks, and holds what comes of it against a
// model that sees whole messages. What matches a rule is answered, in order, and the rest is
// passed on to the byte.
//
// Each frame takes two bytes of the script, and each chunk one of cuts.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4}, []byte{1, 2, 3, 200}, false)
	f.Add([]byte{8, 0, 20, 0, 9, 1, 40, 7, 64, 9, 5, 200}, []byte{1}, true)
	f.Add([]byte{0, 7, 64, 3, 65, 0, 70, 0, 0, 130}, []byte{250, 9}, false)
	f.Fuzz(func(t *testing.T, script, cuts []byte, fromUpstream bool) {
		if len(script) > 200 || len(cuts) == 0 || len(cuts) > 100 {
			return
		}
		side := client
		if fromUpstream {
			side = upstream
		}
		st := appStage(t, ofSide(side, func(a *App) { a.Answers = answers(t, "ping=>pong;;a*b=>(*);;quiet=>") }))
		from, to := st.way(side)
		m := textModel{masks: from.masks()}
		for len(script) >= 2 {
			m.sends(script[0], script[1])
			script = script[2:]
		}
		m.sends(0, 0) // the end of a message that is under way
		stream := wire.Encode(from.masks(), m.sent...)
		for i := 0; len(stream) > 0; i++ {
			n := min(1+int(cuts[i%len(cuts)]), len(stream))
			from.sendsBytes(stream[:n])
			stream = stream[n:]
			to.read() // from.read too, so that its answers never wait in a tail
			from.read()
		}
		to.wants("what no rule is about", m.passed...)
		if got := wire.DataFrames(from.frames()); fmt.Sprint(got) != fmt.Sprint(m.answers) {
			t.Fatalf("of %v the peer got %v, want %v", m.sent, got, m.answers)
		}
	})
}

// A textModel is what a peer has sent, and what has to come of it.
type textModel struct {
	masks   bool // its frames are masked
	sent    []wire.Frame
	passed  []wire.Frame
	answers []wire.Frame
	message []wire.Frame // the fragments of the message that is under way
}

// parts are what texts are made of.
var parts = []string{"", "p", "ping", "pi", "ng", "a", "b", "é", "\xc3", "quiet", strings.Repeat("z", 500), strings.Repeat("z", 1100)}

// sends adds a frame: a control frame, or a part of a message.
func (m *textModel) sends(kind, size byte) {
	if kind%16 == 15 {
		m.sent = append(m.sent, wire.Pong(strings.Repeat("q", int(size%126))))
		return
	}
	f := wire.Frame{Op: ws.OpText, Fin: size < 160, Payload: parts[int(kind)%len(parts)] + parts[int(size)%len(parts)]}
	switch {
	case len(m.message) > 0:
		f.Op = ws.OpContinuation
	case kind%16 == 14:
		f.Op = ws.OpBinary
	}
	m.sent, m.message = append(m.sent, f), append(m.message, f)
	if f.Fin {
		m.decides()
		m.message = nil
	}
}

// decides says what becomes of the message that is complete.
func (m *textModel) decides() {
	text, raw := "", 0
	for _, f := range m.message {
		text += f.Payload
		raw += len(wire.Encode(m.masks, f))
	}
	switch wild, isWild := strings.CutPrefix(text, "a"); {
	case m.message[0].Op != ws.OpText || raw > 1032:
	case text == "ping":
		m.answers = append(m.answers, wire.Text("pong"))
		return
	case isWild && strings.HasSuffix(wild, "b") && strings.ToValidUTF8(wild, "") == wild:
		m.answers = append(m.answers, wire.Text("("+strings.TrimSuffix(wild, "b")+")"))
		return
	case text == "quiet":
		return
	}
	m.passed = append(m.passed, m.message...)
}
