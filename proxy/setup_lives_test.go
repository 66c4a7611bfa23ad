package proxy

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// BenchmarkSetUp opens and closes one session after another, and reports what that
// allocates. The peers are in the figures with nothing: they say what they have said
// in every session before.
//
//	go test -run - -bench SetUp ./proxy
func BenchmarkSetUp(b *testing.B) {
	w := newScriptedWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		w.opensAndCloses()
	}
}

// What a set-up allocates is garbage as soon as the session is open: it is the
// collector's work in a storm of handshakes.
func TestSetUpAllocations(t *testing.T) {
	const most = 30 // as under the race detector; without it there are 27
	if n := testing.AllocsPerRun(100, newScriptedWorld(t).opensAndCloses); n > most {
		t.Errorf("a session that opens and closes allocates %v times, want at most %d", n, most)
	}
}

// A scriptedWorld is a loop whose one client and one upstream have a script each.
type scriptedWorld struct {
	t      testing.TB
	l      *loop
	kernel *scriptedKernel
	event  [1]epoll.Event
}

func newScriptedWorld(t testing.TB) *scriptedWorld { return newScriptedWorldOf(t, testConfig()) }

func newScriptedWorldOf(t testing.TB, cfg Config) *scriptedWorld {
	const now = heartbeat.Time(time.Hour)
	clock := func() heartbeat.Time { return now }
	server, err := newServer(cfg, inventedTime(clock))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.end)
	asks := wire.Request()
	request, err := wire.ParseRequest(asks)
	if err != nil {
		t.Fatal(err)
	}
	closes := func(masked bool) []byte { return wire.Encode(masked, wire.Close(1000, "")) }
	w := &scriptedWorld{t: t, kernel: &scriptedKernel{peers: [2]scriptedPeer{
		client:   {side: client, script: [][]byte{[]byte(asks), closes(true)}},
		upstream: {side: upstream, script: [][]byte{[]byte(wire.Answer(request)), closes(false)}},
	}}}
	w.l = server.addLoop(w.kernel, rand.NewChaCha8([32]byte{}))
	w.l.listener.open = true
	w.l.startAccept()
	return w
}

// opensAndCloses is the whole life of a session, which the client closes.
func (w *scriptedWorld) opensAndCloses() {
	w.kernel.waiting = true
	w.turn(listenerToken)
	for range 3 { // handshake, close handshake, end of TCP
		for _, side := range sides {
			w.turn(w.kernel.peers[side].token)
		}
	}
	if w.l.table.live != 0 {
		w.t.Fatal("the session has not ended")
	}
}

func (w *scriptedWorld) turn(token epoll.Token) {
	w.event[0] = epoll.Event{Token: token, Ready: epoll.In}
	w.l.turn(w.l.now, w.event[:])
}

// A scriptedKernel has one connection to accept, and one to make.
type scriptedKernel struct {
	silentKernel
	peers   [2]scriptedPeer
	waiting bool // the client is to be accepted
}

func (k *scriptedKernel) Add(fd int, token epoll.Token, _ epoll.Ready) error {
	if token != listenerToken {
		k.peers[fd].token = token
	}
	return nil
}

func (k *scriptedKernel) Accept(int, bool) (transport, netip.AddrPort, error) {
	if !k.waiting {
		return nil, netip.AddrPort{}, errAgain
	}
	k.waiting = false
	return k.peers[client].begins(), netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1024), nil
}

func (k *scriptedKernel) Connect(socket.Endpoint) (transport, error) {
	return k.peers[upstream].begins(), nil
}

// A scriptedPeer says one thing at a time, and then ends its TCP.
type scriptedPeer struct {
	silentPeer
	side   Side // its descriptor, too
	script [][]byte
	said   int
}

func (p *scriptedPeer) begins() *scriptedPeer {
	p.said = 0
	return p
}

func (p *scriptedPeer) FD() int { return int(p.side) }

func (p *scriptedPeer) Read(b []byte, _ int) (int, error) {
	if p.said == len(p.script) {
		return 0, io.EOF
	}
	p.said++
	return copy(b, p.script[p.said-1]), nil
}
