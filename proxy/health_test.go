package proxy

import (
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
)

// An upstream that accepts no connection is down until a probe gets one.
func TestUpstreamThatIsDownIsProbed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	m := metrics.New("test")
	b, err := newBackend(t.Context(), &Config{
		Upstream:    &url.URL{Scheme: "ws", Host: ln.Addr().String()},
		DialTimeout: time.Minute,
		Log:         slog.New(slog.DiscardHandler),
		Metrics:     m,
	}, func() heartbeat.Time { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	b.probeEvery = time.Millisecond
	gauge := `holdfast_upstream_up{upstream="ws://` + ln.Addr().String() + `"}`
	if up := scrape(t, m)[gauge]; up != 1 {
		t.Errorf("at the start %s = %v, want 1: nothing is known against it", gauge, up)
	}
	b.Learn(errDialTimeout)
	conn, err := ln.Accept() // the probe, which only an upstream that is down gets
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for b.down.Load() { // the test's own timeout bounds this
		time.Sleep(time.Millisecond)
	}
	if up := scrape(t, m)[gauge]; up != 1 {
		t.Errorf("after the probe %s = %v, want 1", gauge, up)
	}
}
