package proxy_test

import (
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// beats pings often. Only a peer that never answers may be given a timeout so
// short that a busy machine could miss it.
func beats(timeout time.Duration, pong heartbeat.PongMode) heartbeat.Rules {
	return heartbeat.Rules{Interval: 30 * time.Millisecond, Timeout: timeout, Jitter: 0.1, Liveness: heartbeat.OnlyPong, Pong: pong}
}

func TestLibrariesStayAlive(t *testing.T) {
	required := func(cfg *proxy.Config) {
		cfg.Client = beats(patience, heartbeat.RequirePong)
		cfg.UpstreamSide = beats(patience, heartbeat.RequirePong)
	}
	forEachPair(t, required, func(t *testing.T, r *rig, client library) {
		c := r.dialsBy(client)
		read := make(chan error, 1)
		go func() {
			_, message, err := c.read() // libraries answer pings while they read
			if err == nil && string(message) != "still here" {
				t.Errorf("the client got %q", message)
			}
			read <- err
		}()
		r.eventually("both answer pings", func() bool {
			return r.metric("pongs_received_total{client}") >= 5 && r.metric("pongs_received_total{upstream}") >= 5
		})
		if err := c.write(false, []byte("still here")); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil {
			t.Fatalf("a client that answers its pings stays, got %v", err)
		}
		r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1})
	})
}

func TestSilentClientIsDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.Client = beats(short, heartbeat.RequirePong) })
	client, upstream := r.opens()
	client.wantsPing("one interval after the opening")
	client.wants("with a deadline at most one ping is out", wire.Close(1011, "keepalive ping timeout"))
	upstream.wants("the client is dead", wire.Close(1001, "client keepalive ping timeout"))
	upstream.sends(wire.Close(1001, ""))
	client.wantsEnd("a silent client is not waited for") // to answer would be answered by a reset
	client.hangsUp()
	upstream.finishes("nothing follows a Close")
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client ping_timeout": 1})
	if sent, got := r.metric("pings_sent_total{client}"), r.metric("pongs_received_total{client}"); sent != 1 || got != 0 {
		t.Errorf("%d pings and %d pongs are counted, want 1 and 0", sent, got)
	}
}

func TestClientThatAnswersStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.Client = beats(patience, heartbeat.RequirePong) })
	client, upstream := r.opens()
	seen := map[string]bool{}
	for range 5 {
		answer := client.wantsPing("one interval after the last")
		if seen[answer.Payload] || answer.Payload == "" {
			t.Errorf("the payload %q can be guessed", answer.Payload)
		}
		seen[answer.Payload] = true
		client.sends(answer)
	}
	client.sends(wire.Text("hello"))
	upstream.wants("its pongs are for the proxy alone", wire.Text("hello"))
	r.eventually("all pongs are counted", func() bool { return r.metric("pongs_received_total{client}") == 5 })
	r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1})
}
