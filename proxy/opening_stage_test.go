package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
)

// TestWaitingHandshakeHoldsLittle lets the upstream take its time over the answer,
// with heads of all sizes and with more behind them than anybody would keep.
func TestWaitingHandshakeHoldsLittle(t *testing.T) {
	early := textFrame(150 << 10)
	for name, c := range map[string]struct {
		filler int // bytes that make the head larger
		early  []byte
		limit  int // of what is held while the upstream is silent
	}{
		"a small head":                       {0, nil, 0},
		"a large head":                       {30 << 10, nil, 0},
		"a small head and much behind it":    {0, early, 32<<10 + 1},
		"a large head and much behind it":    {30 << 10, early, 3 << 10},
		"a head of the largest size, nearly": {32<<10 - 250, early, 1 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWaiting(t)
			w.client.writesOnce([]byte(wire.Request("X: "+strings.Repeat("x", c.filler)) + string(c.early)))
			answer := w.upstreamReads()
			o := w.opening()
			if o.state != awaitAnswer {
				t.Fatalf("the handshake is at step %d, want that the answer is awaited", o.state)
			}
			if o.request != nil || o.offer != nil || o.story.Fields != nil || o.out != nil {
				t.Error("the request is still held, though it has been sent")
			}
			if n := cap(o.head) + cap(o.reply); n > c.limit+c.limit/8 { // an allocation is rounded up
				t.Errorf("%d bytes are held, more than %d", n, c.limit)
			}
			w.upstreamAnswers(answer)
			w.wantsSession(c.early)
		})
	}
}

// A waiting is a stage with one client whose upstream is a real one, which the
// test plays.
type waiting struct {
	*stage
	client   *peer
	listener net.Listener
	upstream net.Conn
	asked    *http.Request // what the upstream has read
}

// newWaiting builds a waiting; change may adapt its configuration.
func newWaiting(t *testing.T, change ...func(*Config)) *waiting {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &waiting{listener: listener}
	w.stage = newStage(t, func(cfg *Config) {
		cfg.Upstreams[0].URL.Host = listener.Addr().String()
		for _, each := range change {
			each(cfg)
		}
	})
	w.client = w.connects()
	return w
}

// upstreamReads accepts the connection and reads the request. It returns the answer to it,
// with fields added.
func (w *waiting) upstreamReads(fields ...string) string {
	w.t.Helper()
	var err error
	if w.upstream, err = w.listener.Accept(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.upstream.Close() })
	var head []byte
	for b := make([]byte, 64<<10); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		n, err := w.upstream.Read(b)
		if err != nil {
			w.t.Fatal(err)
		}
		head = append(head, b[:n]...)
		w.run()
	}
	if w.asked, err = wire.ParseRequest(string(head)); err != nil {
		w.t.Fatal(err)
	}
	return wire.Answer(w.asked, fields...)
}

func (w *waiting) upstreamAnswers(answer string) {
	w.t.Helper()
	if _, err := io.WriteString(w.upstream, answer); err != nil {
		w.t.Fatal(err)
	}
	w.run()
}

// opening is the state of the only handshake.
func (w *waiting) opening() *opening {
	w.t.Helper()
	var only *opening
	w.l.table.all(func(s *session) { only = s.opening })
	if only == nil {
		w.t.Fatal("there is no handshake")
	}
	return only
}

// wantsSession wants the session to be open, and nothing lost that came early.
func (w *waiting) wantsSession(early []byte) {
	w.t.Helper()
	got := make([]byte, len(early))
	for at := 0; at < len(got); {
		n, err := w.upstream.Read(got[at:])
		if err != nil {
			w.t.Fatal(err)
		}
		at += n
		w.run()
	}
	if !bytes.Equal(got, early) {
		w.t.Error("what the client sent early does not arrive as it was sent")
	}
	w.counts(map[string]float64{"sessions_opened_total": 1, "sessions_active": 1})
}

// textFrame is a masked text message of that size.
func textFrame(size int) []byte { return wire.Encode(true, wire.Text(strings.Repeat("e", size))) }

// TestFollowing wants what follows a head not to keep the head's memory.
func TestFollowing(t *testing.T) {
	read := []byte("head, and more")
	if got := following(read, len(read)); got != nil {
		t.Errorf("behind a head that ends the read there is %q, want nil", got)
	}
	got := following(read, len("head"))
	if string(got) != ", and more" || &got[0] == &read[len("head")] {
		t.Errorf("behind the head there is %q, and it is in the head's memory: %v", got, &got[0] == &read[len("head")])
	}
}

// Wherever a read ends within the head, it is the same request.
func TestHeadByBytes(t *testing.T) {
	st := newStage(t, nil)
	p := st.connects()
	asks := wire.Request()
	last := len(asks) - 1
	for i := range last {
		p.sendsString(asks[i : i+1])
	}
	if got := p.told(); got != "" {
		t.Fatalf("before the end of the head the client is told %q", got)
	}
	p.sendsString(asks[last:])
	if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") { // nobody listens upstream
		t.Errorf("the client is told %.40q", got)
	}
}

// TLS that is spoken to a plain port is refused by its first byte, and so is TLS behind a
// PROXY protocol header.
func TestTLSToThePlainPort(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		change func(*Config)
	}{
		"at once": {"", nil},
		"behind a PROXY protocol header": {"PROXY TCP4 203.0.113.9 192.0.2.2 1 2\r\n", func(cfg *Config) {
			cfg.ProxyProtocol, cfg.TrustedProxies = true, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, c.change)
			p := st.connects()
			p.sendsString(c.before + "\x16")
			if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "does not speak TLS") {
				t.Errorf("the client is told %q", got)
			}
			st.counts(map[string]float64{"handshakes_total{bad_request}": 1})
		})
	}
}

// A refusal leaves in one segment with our end of the stream.
func TestRefusalLeavesWithTheEnd(t *testing.T) {
	st := newStage(t, nil)
	p := st.knocks() // nobody listens upstream
	if got := string(st.legs[0].last); got == "" || got != p.told() {
		t.Errorf("written as the last: %q, of %q", got, p.told())
	}
}

// crampedKernel is a kernel that has no room for another registration.
type crampedKernel struct{ kernel }

func (crampedKernel) Add(int, epoll.Token, epoll.Ready) error { return unix.ENOSPC }

// A client that cannot be listened to is gone at once, whatever else is going on.
func TestNoRoomInThePoller(t *testing.T) {
	for _, draining := range []bool{false, true} {
		st := newStage(t, nil)
		st.l.kernel = crampedKernel{st.l.kernel}
		st.l.draining = draining
		p := st.connects()
		if got := p.told(); got != "" || !p.ended {
			t.Errorf("draining %v: the client is told %q, and its connection has ended: %v", draining, got, p.ended)
		}
		st.counts(map[string]float64{"handshakes_total{internal}": 1, "handshakes_total{draining}": 0})
		if st.l.table.live != 0 || st.server.live.Load() != 0 {
			t.Error("the session is left behind")
		}
	}
}

// The first loop may hand a client to another one that has begun to drain. While the
// listener is open, the client is answered when it has asked.
func TestClientOfADrainingLoopIsRefused(t *testing.T) {
	for _, shut := range []bool{false, true} {
		st := newStage(t, nil)
		st.l.draining, st.l.shut = true, shut
		p := st.connects()
		st.run()
		if !shut {
			p.wantsNothing("it has not asked yet")
			p.sendsString("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		if got := p.told(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Errorf("shut %v: the client is told %.40q", shut, got)
		}
		st.counts(map[string]float64{"handshakes_total{draining}": 1})
		if kept, want := st.server.kept.Load(), int64(0); !shut && kept != want {
			t.Errorf("a drain waits for %d clients that came late", kept)
		}
	}
}

// What comes early from an upstream fits a tail in which answers of ours are already.
func TestEarlyBytesBehindAnswers(t *testing.T) {
	w := newWaiting(t, func(c *Config) {
		c.MaxHeaderSize = 128 << 10
		c.ClientApp.Answers = answers(t, "ping=>"+strings.Repeat("x", 1000))
	})
	if err := unix.SetsockoptInt(w.client.far, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
		t.Fatal(err)
	}
	asked := strings.Repeat(string(wire.Encode(true, wire.Text("ping"))), 100)
	w.client.writesOnce([]byte(wire.Request() + asked))
	early := wire.Binary(strings.Repeat("y", 150<<10))
	w.upstreamAnswers(w.upstreamReads() + string(wire.Encode(false, early)))
	w.drains(w.client)
	_, frames, _ := bytes.Cut(w.client.got, []byte("\r\n\r\n"))
	w.client.got = frames
	if got := w.client.frames(); !slices.Contains(got, early) || !slices.Contains(got, wire.Text(strings.Repeat("x", 1000))) {
		t.Errorf("the client got %d frames, want answers and what came early among them", len(got))
	}
	w.counts(map[string]float64{"sessions_opened_total": 1, "sessions_active": 1})
}
