package demo

import (
	"io"
	"net"
	"testing"
	"time"
)

// passage is a connection through a middlebox, both its ends.
type passage struct {
	t            *testing.T
	box          *middlebox
	client, host *net.TCPConn
	cut          chan net.Addr
}

func newPassage(t *testing.T, limit time.Duration) *passage {
	t.Helper()
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := &passage{t: t, cut: make(chan net.Addr, 1)}
	p.box = newMiddlebox(limit, func(client net.Addr) { p.cut <- client })
	t.Cleanup(p.box.close)
	address, err := p.box.route(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	host, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p.client, p.host = client.(*net.TCPConn), host.(*net.TCPConn)
	for _, conn := range []net.Conn{client, host} {
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *passage) sends(from *net.TCPConn, text string) {
	p.t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *passage) wants(at *net.TCPConn, text string) {
	p.t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(at, got); err != nil || string(got) != text {
		p.t.Fatalf("read %q, error %v, want %q", got, err, text)
	}
}

func (p *passage) wantsEnd(at *net.TCPConn) {
	p.t.Helper()
	if rest, err := io.ReadAll(at); err != nil || len(rest) > 0 {
		p.t.Fatalf("read %q, error %v, want the end", rest, err)
	}
}

func TestMiddleboxForwards(t *testing.T) {
	p := newPassage(t, time.Hour)
	p.sends(p.client, "question")
	p.wants(p.host, "question")
	p.sends(p.host, "answer")
	p.wants(p.client, "answer")
}

func TestMiddleboxPassesEnds(t *testing.T) {
	p := newPassage(t, time.Hour)
	p.sends(p.client, "last words")
	p.client.CloseWrite()
	p.wants(p.host, "last words")
	p.wantsEnd(p.host)
	p.sends(p.host, "still here")
	p.host.Close()
	p.wants(p.client, "still here")
	p.wantsEnd(p.client)
}

func TestMiddleboxForgetsSilentConnections(t *testing.T) {
	p := newPassage(t, 50*time.Millisecond)
	select {
	case client := <-p.cut:
		if client.String() != p.client.LocalAddr().String() {
			t.Errorf("cut %v, want %v", client, p.client.LocalAddr())
		}
	case <-time.After(patience):
		t.Fatal("the connection was not cut")
	}
	// Neither end is told: what they send is taken, and gets nowhere. Had
	// anything got there, it would be read before the middlebox's own end.
	p.sends(p.client, "anybody there?")
	p.sends(p.host, "anybody there?")
	p.client.CloseWrite()
	p.box.close()
	for _, end := range []*net.TCPConn{p.client, p.host} {
		// The middlebox may reset what it has not swallowed yet.
		if got, _ := io.ReadAll(end); len(got) > 0 {
			t.Errorf("%q got through", got)
		}
	}
}

// A cut needs no silence, and either end's address says which connection is meant.
func TestMiddleboxCutsAConnectionInUse(t *testing.T) {
	for name, end := range map[string]func(*passage) net.Addr{
		"by the client's address":       func(p *passage) net.Addr { return p.client.LocalAddr() },
		"by the address that hosts see": func(p *passage) net.Addr { return p.host.RemoteAddr() },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPassage(t, time.Hour)
			p.sends(p.client, "question")
			p.wants(p.host, "question")
			if !p.box.cut(end(p)) {
				t.Fatal("the connection is not known")
			}
			if p.box.cut(end(p)) {
				t.Error("it was cut twice")
			}
			p.sends(p.client, "anybody there?")
			p.box.close()
			if got, _ := io.ReadAll(p.host); len(got) > 0 {
				t.Errorf("%q got through", got)
			}
		})
	}
	p := newPassage(t, time.Hour)
	if p.box.cut(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}) {
		t.Error("a connection of somebody else is known")
	}
}

func TestFlowExpires(t *testing.T) {
	newFlow := func() *flow {
		return &flow{limit: time.Hour, over: make(chan struct{}), moved: time.Now().Add(-time.Hour)}
	}
	f := newFlow()
	if !f.touch(1) {
		t.Error("a flow that is not expired yet does not forward")
	}
	if left, isLost := f.expire(); isLost || left <= 0 {
		t.Errorf("lost %v with %v left, though something just moved", isLost, left)
	}
	f = newFlow()
	if !f.touch(0) {
		t.Error("a flow that is not expired yet does not forward")
	}
	if _, isLost := f.expire(); !isLost {
		t.Error("not lost, though nothing moved for its limit")
	}
	if f.touch(1) || f.finish() {
		t.Error("a lost flow forwards, or finishes")
	}
	f = newFlow()
	for range 2 { // at its end, and when the middlebox closes
		if !f.finish() {
			t.Error("a flow that is not lost does not finish")
		}
	}
	if _, isLost := f.expire(); isLost {
		t.Error("a finished flow is lost")
	}
}

func TestMiddleboxWithoutTarget(t *testing.T) {
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	box := newMiddlebox(time.Hour, nil)
	defer box.close()
	address, err := box.route(nobody)
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got, err := io.ReadAll(client); err != nil || len(got) > 0 {
		t.Errorf("read %q, error %v, want the end", got, err)
	}
}
