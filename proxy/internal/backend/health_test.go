package backend

import (
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
)

// newBackend makes a Backend at a time that stands still.
func newBackend(t *testing.T, address string, changes ...func(*Config)) *Backend {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		URL:         at,
		DialTimeout: time.Minute,
		Clock:       func() heartbeat.Time { return heartbeat.Time(time.Hour) },
		Beside:      func(job func()) { go job() },
		Log:         slog.New(slog.DiscardHandler),
		Metrics:     metrics.New("test"),
	}
	for _, change := range changes {
		change(&cfg)
	}
	b, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// isUp is what the backend's gauge says.
func isUp(t *testing.T, b *Backend) bool {
	t.Helper()
	families, err := b.cfg.Metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "holdfast_upstream_up" {
			return f.GetMetric()[0].GetGauge().GetValue() == 1
		}
	}
	t.Fatal("there is no gauge")
	return false
}

// lines are those of a log, as they come.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// wants waits for a line with that text.
func (l lines) wants(text string) {
	for !strings.Contains(<-l, text) { // the test's own timeout bounds this
	}
}

// A backend that accepts no connection is down until a probe gets one.
func TestBackendThatIsDownIsProbed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	log := make(lines, 10)
	b := newBackend(t, "ws://"+ln.Addr().String(), func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(log, nil)) })
	b.probeEvery = time.Millisecond
	if !isUp(t, b) || !b.Up() {
		t.Error("at the start the backend is down: nothing is known against it")
	}
	b.Learn(ErrTimeout)
	log.wants("upstream is down")
	conn, err := ln.Accept() // the probe, which only a backend that is down gets
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	log.wants("upstream is up again")
	if !isUp(t, b) || !b.Up() {
		t.Error("after the probe the backend is down")
	}
}
