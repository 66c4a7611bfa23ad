package proxy

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/proxy/internal/peraddress"
)

// The metric of the limit on sessions says what MaxSessions allows, or less if the
// descriptors allow less.
func TestLimitOnSessionsIsShown(t *testing.T) {
	for _, test := range []struct{ most, clients, want int }{
		{0, 1000, 1000},
		{3, 1000, 3},
		{1000, 3, 3},
	} {
		cfg := testConfig()
		cfg.MaxSessions = test.most
		s, err := newServer(cfg, realWorld())
		if err != nil {
			t.Fatal(err)
		}
		s.setRooms(int64(test.clients), 2)
		s.end()
		shown := int(fixture.Counted(t, cfg.Metrics.Registry())["sessions_limit"])
		if shown != test.want || s.SessionsLimit() != test.want {
			t.Errorf("MaxSessions is %d, and %d clients have room: the metric says %d and SessionsLimit %d, want %d",
				test.most, test.clients, shown, s.SessionsLimit(), test.want)
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
