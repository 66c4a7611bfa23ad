package demo

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// guestOf is a raw client of a service, and what the service says about it.
type guestOf struct {
	t       *testing.T
	service *service
	conn    net.Conn
	name    string
}

func visitService(t *testing.T, name string, header ws.HandshakeHeader) *guestOf {
	t.Helper()
	j := newJournal(io.Discard)
	t.Cleanup(j.close)
	s, err := startService(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	conn, _, _, err := ws.Dialer{Header: header}.Dial(context.Background(), "ws://"+s.address()+"/"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	g := &guestOf{t, s, conn, name}
	g.wantsNoted(opened)
	return g
}

func (g *guestOf) sends(f wire.Frame) {
	g.t.Helper()
	if _, err := g.conn.Write(wire.Encode(true, f)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guestOf) wants(f wire.Frame) {
	g.t.Helper()
	if got, err := wire.Read(g.conn, false); err != nil || got != f {
		g.t.Fatalf("got %v, %v, want %v", got, err, f)
	}
}

func (g *guestOf) wantsNoted(k kind) event {
	g.t.Helper()
	e, err := g.service.journal.await(patient(g.t), k, g.name)
	if err != nil {
		g.t.Fatal(err)
	}
	return e
}

func TestServiceEchoesAndAnswersPings(t *testing.T) {
	g := visitService(t, "A", nil)
	g.sends(wire.Text("hello"))
	g.wants(wire.Text("hello"))
	g.sends(wire.Ping("are you there?"))
	g.wants(wire.Pong("are you there?"))
	g.sends(wire.Binary("\x00\xff"))
	g.wants(wire.Binary("\x00\xff"))
}

func TestServiceNotesClose(t *testing.T) {
	g := visitService(t, "A", nil)
	g.sends(wire.Close(1001, "bye"))
	g.wants(wire.Close(1001, ""))
	if e := g.wantsNoted(ended); e.code != ws.StatusGoingAway || e.reason != "bye" {
		t.Errorf("noted %d %q, want 1001 \"bye\"", e.code, e.reason)
	}
	if g.service.find("A") != nil {
		t.Error("A is believed to be there after its Close")
	}
}

func TestServiceNotesEndWithoutClose(t *testing.T) {
	g := visitService(t, "A", nil)
	g.conn.Close()
	if e := g.wantsNoted(ended); e.code != 0 || e.Text != "A has left: no Close" {
		t.Errorf("noted %d, %q, want no Close", e.code, e.Text)
	}
}

func TestServiceHearsSignsOfLife(t *testing.T) {
	g := visitService(t, "A", nil)
	v := g.service.find("A")
	if v == nil {
		t.Fatal("A is not there")
	}
	before := v.heard.Load()
	g.sends(wire.Ping(""))
	g.wants(wire.Pong(""))
	if after := v.heard.Load(); after <= before {
		t.Errorf("last heard %d ns after the beginning, and %d before the ping", after, before)
	}
}

func TestServiceSeesProxy(t *testing.T) {
	if v := visitService(t, "A", nil).service.find("A"); v.through {
		t.Error("a client that came straight is taken for one through a proxy")
	}
	header := ws.HandshakeHeaderString("x-forwarded-for: 127.0.0.1\r\n")
	if v := visitService(t, "B", header).service.find("B"); !v.through {
		t.Error("a client that came through a proxy is not known as such")
	}
}

func TestNamesArePlain(t *testing.T) {
	for path, want := range map[string]string{
		"/A":                           "A",
		"/you-x1":                      "you-x1",
		"/":                            "a stranger",
		"/A?token=secret":              "a stranger",
		"/A\x1b[2J":                    "a stranger",
		"/far-too-long-for-one-column": "a stranger",
	} {
		if got := nameOf(path); got != want {
			t.Errorf("nameOf(%q) = %q, want %q", path, got, want)
		}
	}
}
