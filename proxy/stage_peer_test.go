package proxy

import (
	"bytes"
	"io"
	"net/netip"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
	"holdfast/proxy/internal/peraddress"
)

// A peer is the test's end of a leg.
type peer struct {
	st    *stage
	side  Side
	fd    int // the test's; -1 once closed
	far   int // the loop's
	got   []byte
	ended bool

	sendable bool // for scripts: nothing has failed yet
}

func (p *peer) close() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// hangsUp closes the peer's descriptor.
func (p *peer) hangsUp() {
	p.st.t.Helper()
	p.read()
	p.close()
	p.st.run()
}

// stopsSending ends the peer's direction alone.
func (p *peer) stopsSending() {
	p.st.t.Helper()
	if err := unix.Shutdown(p.fd, unix.SHUT_WR); err != nil {
		p.st.t.Fatal(err)
	}
	p.st.run()
}

// sends writes frames, masked if the peer is a client, and lets the loop act.
func (p *peer) sends(frames ...wire.Frame) {
	p.st.t.Helper()
	p.sendsBytes(wire.Encode(p.masks(), frames...))
}

// masks says whether this peer's frames must be masked (RFC 6455 5.1).
func (p *peer) masks() bool { return p.side == client }

func (p *peer) sendsString(s string) { p.st.t.Helper(); p.sendsBytes([]byte(s)) }

// sendsBytes lets the loop act after each write. Where the way to the other peers is
// full, they read.
func (p *peer) sendsBytes(b []byte) {
	p.st.t.Helper()
	for len(b) > 0 {
		n, err := unix.Write(p.fd, b)
		if err != nil && err != unix.EAGAIN {
			p.st.t.Fatalf("%v cannot send: %v", p.side, err)
		}
		b = b[max(n, 0):]
		p.st.run()
		if err != nil {
			p.othersRead()
		}
	}
}

func (p *peer) othersRead() {
	for _, other := range p.st.peers {
		if other != p {
			other.read()
		}
	}
	p.st.run()
}

// read collects what the loop has written.
func (p *peer) read() {
	buf := p.st.buffer[:]
	for p.fd >= 0 && !p.ended {
		n, err := unix.Read(p.fd, buf)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			p.ended = true
		default:
			p.got = append(p.got, buf[:n]...)
			p.st.run()
		}
	}
}

// wants checks that exactly these frames, and no byte more, have arrived.
func (p *peer) wants(why string, want ...wire.Frame) {
	p.st.t.Helper()
	p.read()
	got := p.frames()
	if len(got) != len(want) {
		p.st.t.Fatalf("%s: %v got %v, want %v", why, p.side, got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			p.st.t.Fatalf("%s: %v's frame %d is %v, want %v", why, p.side, i+1, got[i], want[i])
		}
	}
}

// wantsBytes checks that exactly these bytes have arrived, so that even mask keys
// are compared.
func (p *peer) wantsBytes(why string, want []byte) {
	p.st.t.Helper()
	p.read()
	if !bytes.Equal(p.got, want) {
		p.st.t.Fatalf("%s: %v got %d bytes, want %d: %.100x", why, p.side, len(p.got), len(want), p.got)
	}
	p.got = nil
}

func (p *peer) wantsNothing(why string) {
	p.st.t.Helper()
	p.wants(why)
	if p.ended {
		p.st.t.Fatalf("%s: %v's connection has ended", why, p.side)
	}
}

// wantsPing checks that exactly a ping of the proxy's has arrived, and returns the answer to it.
func (p *peer) wantsPing(why string) (pong wire.Frame) {
	p.st.t.Helper()
	p.read()
	got := p.frames()
	if len(got) != 1 || got[0].Op != ws.OpPing || len(got[0].Payload) != 8 {
		p.st.t.Fatalf("%s: %v got %v, want a ping with 8 bytes", why, p.side, got)
	}
	return wire.Pong(got[0].Payload)
}

// wantsClose checks that exactly a Close of that code has arrived, and returns its reason.
func (p *peer) wantsClose(why string, code int) (reason string) {
	p.st.t.Helper()
	p.read()
	got := p.frames()
	if len(got) != 1 || got[0].Code() != code {
		p.st.t.Fatalf("%s: %v got %v, want a Close %d", why, p.side, got, code)
	}
	return got[0].Reason()
}

// wantsEnd checks that the connection has ended, with nothing before it.
func (p *peer) wantsEnd(why string) {
	p.st.t.Helper()
	p.wants(why)
	if !p.ended {
		p.st.t.Fatalf("%s: %v's connection has not ended", why, p.side)
	}
}

// frames takes the frames out of what has been read, which must be whole.
func (p *peer) frames() (got []wire.Frame) {
	p.st.t.Helper()
	got = p.wholeFrames()
	if len(p.got) > 0 {
		p.st.t.Fatalf("%v got a part of a frame, %d bytes, after %v", p.side, len(p.got), got)
	}
	return got
}

// wholeFrames is frames, but leaves the beginning of a frame for later.
func (p *peer) wholeFrames() (got []wire.Frame) {
	p.st.t.Helper()
	for {
		r := bytes.NewReader(p.got)
		f, err := wire.Read(r, !p.masks()) // what goes to an upstream is masked
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return got
		}
		if err != nil {
			p.st.t.Fatalf("%v got a broken frame, %.100x: %v", p.side, p.got, err)
		}
		got = append(got, f)
		p.got = p.got[len(p.got)-r.Len():]
	}
}

// knocks connects a client that asks for an upgrade.
func (st *stage) knocks() *peer {
	st.t.Helper()
	p := st.connects()
	p.sendsString(wire.Request())
	return p
}

// connects connects a client that says nothing yet.
func (st *stage) connects() *peer {
	st.t.Helper()
	p := st.peer(client)
	has, _ := st.server.letIn()
	st.l.sessions.Add(1)
	st.l.now = st.now
	st.l.accepted(st.corks(p.far), netip.MustParseAddrPort("192.0.2.1:1234"), peraddress.Uncounted, has)
	return p
}

// told is what a client has got so far.
func (p *peer) told() string {
	p.read()
	return string(p.got)
}

// readsOnly takes a part of what the loop has written, and lets that act.
func (p *peer) readsOnly(n int) {
	p.st.t.Helper()
	buf := make([]byte, n)
	for n > 0 && !p.ended {
		got, err := unix.Read(p.fd, buf[:n])
		if err == unix.EAGAIN {
			return
		}
		p.ended = err != nil || got == 0
		p.got = append(p.got, buf[:max(got, 0)]...)
		n -= got
		p.st.run()
	}
}

// pushes fills the way to the loop without letting it act.
func (p *peer) pushes(b []byte) {
	p.st.t.Helper()
	for _, fd := range []int{p.fd, p.far} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
			p.st.t.Fatal(err)
		}
	}
	if n, err := unix.Write(p.fd, b); n != len(b) {
		p.st.t.Fatalf("%d of %d bytes are in the kernel: %v", n, len(b), err)
	}
}

// writesOnce is one write, which has to take all.
func (p *peer) writesOnce(b []byte) {
	p.st.t.Helper()
	if n, err := unix.Write(p.fd, b); n != len(b) || err != nil {
		p.st.t.Fatalf("%v sends %d of %d bytes, %v", p.side, n, len(b), err)
	}
	p.st.run()
}
