package backend

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"holdfast/proxy/internal/socket"
)

// A name is looked up once for all who wait for it, and who waits no longer is not
// remembered.
func TestLookupIsShared(t *testing.T) {
	answers, lookups := make(chan struct{}), 0
	b := newBackend(t, "ws://service.example:81/app/", func(cfg *Config) {
		cfg.Find = func(_ context.Context, host string) ([]netip.Addr, error) {
			lookups++
			if host != "service.example" {
				t.Errorf("%q is looked up", host)
			}
			<-answers
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2")}, nil
		}
	})
	now := b.cfg.Clock()
	if addrs, fresh := b.Known(now); fresh {
		t.Errorf("%v is known before it is looked up", addrs)
	}
	for range 10 {
		b.Lookup(func([]socket.Endpoint, error) { t.Error("one who has left is told") })()
	}
	told := make(chan []socket.Endpoint)
	forgo := b.Lookup(func(addrs []socket.Endpoint, err error) {
		if err != nil {
			t.Error(err)
		}
		told <- addrs
	})
	close(answers)
	want := []socket.Endpoint{
		{AddrPort: netip.MustParseAddrPort("192.0.2.1:81")},
		{AddrPort: netip.MustParseAddrPort("192.0.2.2:81")},
	}
	if got := <-told; !slices.Equal(got, want) {
		t.Errorf("the name stands for %v, want %v", got, want)
	}
	forgo() // comes too late, and changes nothing
	if lookups != 1 {
		t.Errorf("the name was looked up %d times, want once for all", lookups)
	}
	if addrs, fresh := b.Known(now.Add(addressesFresh - 1)); !fresh || !slices.Equal(addrs, want) {
		t.Errorf("afterwards %v is known, fresh %v", addrs, fresh)
	}
	if _, fresh := b.Known(now.Add(addressesFresh)); fresh {
		t.Error("the addresses stay fresh")
	}
	b.Learn(ErrTimeout)
	if _, fresh := b.Known(now); fresh {
		t.Error("the addresses are fresh after a dial to them has failed")
	}
}

// A lookup that panics is over for all who wait for it, and says nothing about the backend.
func TestLookupPanics(t *testing.T) {
	panics, caught := true, make(chan any, 1)
	b := newBackend(t, "ws://service.example:81/", func(cfg *Config) {
		cfg.Find = func(context.Context, string) ([]netip.Addr, error) {
			if panics {
				panic("in the resolver")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		}
		cfg.Beside = func(job func()) {
			go func() {
				defer func() { caught <- recover() }()
				job()
			}()
		}
	})
	told := make(chan error, 1)
	b.Lookup(func(_ []socket.Endpoint, err error) { told <- err })
	if err := <-told; outcomeOf(err) != Faulty {
		t.Errorf("the lookup ends with %v, want a fault", err)
	}
	if <-caught == nil {
		t.Error("the panic is kept from the goroutine that runs the job")
	}
	panics = false
	b.Lookup(func(_ []socket.Endpoint, err error) { told <- err })
	if err := <-told; err != nil {
		t.Errorf("the next lookup ends with %v", err)
	}
	<-caught
}
