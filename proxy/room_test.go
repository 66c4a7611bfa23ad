package proxy

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"holdfast/proxy/internal/peraddress"
)

// Whatever the limit, the parts are not more than the whole, and LimitFor is the reverse of
// Clients.
func TestDescriptorsAreShared(t *testing.T) {
	for loops := range int64(9) {
		for limit := int64(0); limit < 5000; limit++ {
			d := Descriptors{Limit: limit, Loops: loops}
			if used := 2*d.Clients() + d.Reserved(); used > limit && d.Clients() > 1 {
				t.Fatalf("%+v: %d are used", d, used)
			}
			if parts := d.Refused() + d.Admin() + ownFiles; parts+d.ofLoops() > d.Reserved() || d.Refused() < 2 || d.Admin() < 2 {
				t.Fatalf("%+v: of %d reserved, %d are for the lobby and %d for the admin side", d, d.Reserved(), d.Refused(), d.Admin())
			}
		}
		for clients := int64(2); clients < 3000; clients++ {
			enough := Descriptors{Loops: loops}.LimitFor(clients)
			less := Descriptors{Limit: enough - 1, Loops: loops}
			if (Descriptors{Limit: enough, Loops: loops}).Clients() < clients || less.Clients() >= clients {
				t.Fatalf("%d loops: %d is not the least limit for %d clients", loops, enough, clients)
			}
		}
	}
}

// The documentation says what small limits allow with two loops.
func TestClientsOfSmallLimits(t *testing.T) {
	for _, want := range []struct{ limit, clients, refused, admin int64 }{
		{64, 18, 2, 2},
		{128, 44, 8, 4},
		{256, 92, 24, 8},
		{1024, 380, 64, 32},
		{1 << 20, 524156, 64, 32},
	} {
		d := Descriptors{Limit: want.limit, Loops: 2}
		if d.Clients() != want.clients || d.Refused() != want.refused || d.Admin() != want.admin {
			t.Errorf("%d descriptors are enough for %d clients, %d that are refused and %d for the admin side; want %+v",
				want.limit, d.Clients(), d.Refused(), d.Admin(), want)
		}
	}
}

// Clients of many goroutines go through the rooms at random. No room ever has more clients
// than places, and all places are free at the end.
func TestRoomsAtRandom(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSessions = 3
	s, err := newServer(cfg, realWorld())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	s.setRooms(5, 2)
	within := func() {
		for _, c := range []*capacity{&s.inside, &s.permits, &s.lobby} {
			if n := c.taken.Load(); n < 0 || n > c.size {
				t.Errorf("%d of %d places are taken", n, c.size)
			}
		}
	}
	var clients sync.WaitGroup
	for seed := range uint64(8) {
		clients.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			for range 5000 {
				has, ok := s.letIn()
				if !ok {
					continue
				}
				for range rnd.IntN(6) {
					switch rnd.IntN(4) {
					case 0:
						if got := s.permit(&has); got != (has == permitted) {
							t.Errorf("permit returns %v, and the client has %v", got, has)
						}
					case 1:
						s.unpermit(&has)
					case 2:
						if in := s.sendOut(&has); in != (has == inLobby) {
							t.Errorf("sendOut returns %v, and the client has %v", in, has)
						}
					case 3:
						s.bringIn(&has)
					}
					within()
				}
				s.left(netip.Addr{}, peraddress.Uncounted, has)
			}
		})
	}
	clients.Wait()
	if in, permits, out, live := s.inside.taken.Load(), s.permits.taken.Load(), s.lobby.taken.Load(), s.live.Load(); in != 0 || permits != 0 || out != 0 || live != 0 {
		t.Errorf("%d clients are counted, %d inside, %d with permits and %d in the lobby, and all have left", live, in, permits, out)
	}
}
