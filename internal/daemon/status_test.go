package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/status"
	"holdfast/metrics"
)

// What is counted is sampled while the daemon runs: what is older than the window leaves it.
func TestCountsAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New("test")
		d := &Daemon{book: status.New("test", m.Snapshot, time.Now())}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go d.keepSampling(ctx)
		loop := m.NewLoop()
		loop.Opened()
		time.Sleep(status.Window)
		synctest.Wait()
		loop.Opened()
		loop.Opened()
		if n := d.book.Status(time.Now()).Ends.Opened; n != 3 {
			t.Errorf("%d sessions were opened, want 3", n)
		}
		time.Sleep(2 * status.SampleEvery)
		synctest.Wait()
		if n := d.book.Status(time.Now()).Ends.Opened; n != 2 {
			t.Errorf("%d sessions were opened in the window, want 2", n)
		}
	})
}

// No secret is among the variables, whichever way it came.
func TestSecretsAreNotShown(t *testing.T) {
	settings, found := config.Describe([]string{
		"HOLDFAST_UPSTREAM=ws://127.0.0.1:9000",
		"HOLDFAST_ADMIN_TOKEN=open-sesame-0123456789",
		"HOLDFAST_CLIENT_PING_INTERVAL=7s",
	})
	if len(found) > 0 {
		t.Fatal(found)
	}
	got := map[string]status.Variable{}
	for _, v := range variables(settings) {
		v.Meaning = ""
		got[v.Name] = v
	}
	for _, want := range []status.Variable{
		{Name: "HOLDFAST_ADMIN_TOKEN", Value: status.Hidden, Source: "environment", Secret: true},
		{Name: "HOLDFAST_UPSTREAM_HEADERS", Source: "default", Secret: true},
		{Name: "HOLDFAST_UPSTREAM_PING_INTERVAL", Value: "20s", Source: "inherited", From: "HOLDFAST_PING_INTERVAL"},
		{Name: "HOLDFAST_CLIENT_PING_INTERVAL", Value: "7s", Source: "environment"},
	} {
		if got[want.Name] != want {
			t.Errorf("%+v, want %+v", got[want.Name], want)
		}
	}
	if len(got) != len(settings) || slices.ContainsFunc(settings, func(s config.Setting) bool { return got[s.Name].Name == "" }) {
		t.Errorf("%d variables are shown, want %d", len(got), len(settings))
	}
}
