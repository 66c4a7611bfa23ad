package proxy

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"holdfast/proxy/internal/web"
)

// A client whose connection cannot come back from the server of pages gets no session, and
// its handshake is counted like any other.
func TestConnectionThatCannotComeBackIsCounted(t *testing.T) {
	b := newBrokenWorld(t, nil)
	b.server.attach = func(net.Conn) (transport, error) { return nil, errors.New("no descriptor is left") }
	b.server.live.Add(1)
	b.server.guests.Add(1)
	b.server.rejoin(&web.Guest{From: netip.MustParseAddrPort("192.0.2.7:1")}, nil)
	b.balanced(0)
	b.counts(map[string]float64{"handshakes_total{internal}": 1})
}
