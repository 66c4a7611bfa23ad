package proxy

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// A request for a page that has waited too long for a place at its target goes on to another
// one, as a handshake does. In the end its client is told that the proxy is busy.
func TestPageThatWaitsTooLongGoesOn(t *testing.T) {
	two := func(cfg *Config) {
		cfg.Upstreams = []Upstream{
			{URL: &url.URL{Scheme: "ws", Host: "192.0.2.1:80"}},
			{URL: &url.URL{Scheme: "ws", Host: "192.0.2.2:80"}},
		}
		cfg.Balance.By, cfg.HealthInterval = RoundRobin, -1
	}
	inBubble(t, two, func(w *drainWorld) {
		for range 2 {
			to := w.server.oneTarget()
			to.Leave()
			w.l.dialQueueOf(to).places = 0
		}
		route := w.server.pool.Route(&upgrade.Request{}, netip.Addr{})
		refused := make(chan error, 1)
		go func() {
			_, _, err := w.server.dialForPage(context.Background(), &route)
			refused <- err
		}()
		w.until(19 * time.Second)
		if len(refused) != 0 {
			t.Fatalf("the client is refused before both targets have let it wait: %v", <-refused)
		}
		w.until(21 * time.Second)
		err := <-refused
		if undialled, is := errors.AsType[*web.Undialled](err); !is || undialled.Refusal != refuseBusy {
			t.Errorf("the refusal is %v", err)
		}
		for _, address := range []string{"192.0.2.1:80", "192.0.2.2:80"} {
			if want := address + ": " + errQueuedTooLong.Error(); !strings.Contains(err.Error(), want) {
				t.Errorf("the error %q does not say %q", err, want)
			}
		}
	})
}
