package proxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

const anUpgrade = "GET /chat HTTP/1.1\r\nHost: service.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// knocks connects a client that asks for an upgrade.
func (st *stage) knocks() *peer {
	st.t.Helper()
	p := st.peer(client)
	st.server.live.Add(1)
	st.l.sessions.Add(1)
	st.l.now = st.now
	st.l.accepted(socket(p.far), netip.MustParseAddrPort("192.0.2.1:1234"), nil)
	p.sendsBytes([]byte(anUpgrade))
	return p
}

// told is what a client has got so far.
func (p *peer) told() string {
	p.read()
	return string(p.got)
}

// A place that becomes free goes to the one who has waited longest; who has
// left meanwhile is passed over.
func TestLineIsServedInOrder(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialLine.places = 0
	first, second, third := st.knocks(), st.knocks(), st.knocks()
	first.hangsUp()
	st.counts(map[string]float64{`holdfast_handshakes_total{result="client_gone"}`: 1})

	st.l.dialLine.places = 1
	st.run() // nobody listens there, so each in turn is refused and makes room for the next
	for _, p := range []*peer{second, third} {
		if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("a client whose turn has come is told %.40q", got)
		}
	}
	if st.l.dialLine.places != 1 || len(st.l.dialLine.waiting) != 0 {
		t.Errorf("%d places, %d waiting; want 1 and 0", st.l.dialLine.places, len(st.l.dialLine.waiting))
	}
}

func TestLineHasAnEnd(t *testing.T) {
	st := newStage(t, nil)
	st.l.dialLine.places = 0
	p := st.knocks()
	st.pass(st.server.cfg.HandshakeTimeout - time.Second)
	if got := p.told(); got != "" {
		t.Fatalf("told too early: %q", got)
	}
	st.pass(time.Second)
	if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After: ") {
		t.Errorf("a client that waited in vain is told %q", got)
	}
	st.counts(map[string]float64{`holdfast_handshakes_total{result="limit"}`: 1})
	st.l.dialLine.places = 1
	st.run()
	if st.l.dialLine.places != 1 {
		t.Error("a place was given to somebody who has left")
	}
}
