package proxy

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
)

// A connection that breaks at the first write of the request has taken no byte of it, so the
// request goes to the next target. Once a byte was taken, it is not sent again.
func TestConnectionThatBreaksAtTheRequest(t *testing.T) {
	for scheme, change := range map[string]func(*Config){"ws": func(*Config) {}, "wss": withTLS} {
		for _, err := range []error{unix.ECONNRESET, unix.EPIPE} {
			t.Run(fmt.Sprintf("%s, %v, before a byte", scheme, err), func(t *testing.T) {
				b := newBrokenWorld(t, func(c *Config) { change(c); inTurn(c) })
				c, broken := b.asksAcross(breakage{0, err})
				if got := broken.told(); got != "" || !broken.socket.ended {
					t.Errorf("the first is told %q, and its connection has ended: %v", got, broken.socket.ended)
				}
				second := b.accepts()
				asked, err := wire.ParseRequest(second.told())
				if err != nil || asked.Host != "second.example" {
					t.Fatalf("the second is asked %+v, %v", asked, err)
				}
				second.sendsString(wire.Answer(asked))
				c.wantsStatus("the second answers", "101")
				b.echo(c, second)
				b.counts(map[string]float64{"handshakes_total{ok}": 1})
				b.wantsTried(scheme, "unreachable", 1)
				c.hangsUp()
				second.hangsUp()
				b.balanced(0)
			})
			t.Run(fmt.Sprintf("%s, %v, behind a byte", scheme, err), func(t *testing.T) {
				b := newBrokenWorld(t, func(c *Config) { change(c); inTurn(c) })
				c, broken := b.asksAcross(breakage{1, err})
				if got := broken.told(); got != "G" || !broken.socket.ended {
					t.Errorf("the first is told %q, and its connection has ended: %v", got, broken.socket.ended)
				}
				c.wantsStatus("the first may have begun to serve it", "502")
				if n := len(b.kernel.dialled); n != 0 {
					t.Errorf("%d more connections are made", n)
				}
				b.counts(map[string]float64{"handshakes_total{upstream_invalid}": 1})
				b.wantsTried(scheme, "unreachable", 0)
				c.hangsUp()
				b.balanced(0)
			})
		}
	}
}

// inTurn adds a second upstream to the first. Requests go to them in turn, and each is sent
// its own Host.
func inTurn(c *Config) {
	second, at := c.Upstreams[0], *c.Upstreams[0].URL
	at.Host = "127.0.0.1:2"
	second.URL, second.Host = &at, "second.example"
	c.Upstreams = append(c.Upstreams, second)
	c.Upstreams[0].Host = "first.example"
	c.Balance.By, c.HealthInterval = RoundRobin, -1
}

// asksAcross lets a client send its request. The connection to the first upstream breaks
// like that.
func (b *brokenWorld) asksAcross(like breakage) (c, upstream *farPeer) {
	b.t.Helper()
	b.kernel.breaks = &like
	c = b.dials()
	c.sendsString(b.begins())
	c.sendsString(wire.Request())
	return c, b.accepts()
}

// wantsTried wants so many handshakes with the first upstream to have that result.
func (b *brokenWorld) wantsTried(scheme, result string, want float64) {
	b.t.Helper()
	name := "upstream_handshakes_total{" + result + "," + scheme + "://127.0.0.1:1}"
	if got := fixture.Counted(b.t, b.server.cfg.Metrics.Registry())[name]; got != want {
		b.t.Errorf("%s is %v, want %v", name, got, want)
	}
}
