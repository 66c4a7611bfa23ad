package proxy

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

// silences opens a session without pings. It returns the peer on side, the other peer, and
// a check of how long both had been silent when the session ended.
func silences(t *testing.T, side Side) (st *stage, from, to *peer, wants func(from, to time.Duration)) {
	var got *Ended
	st = newStage(t, func(c *Config) {
		c.Client.Interval, c.UpstreamSide.Interval = 0, 0
		c.Ended = func(e *Ended) { got = e }
	})
	from, to = st.way(side)
	return st, from, to, func(first, second time.Duration) {
		t.Helper()
		if got == nil {
			t.Fatal("the session has not ended")
		}
		for s, want := range map[Side]time.Duration{side: first, opposite(side): second} {
			if is := got.Legs[s].Silent; is < want || is > want+100*time.Millisecond {
				t.Errorf("the %v had been silent for %v, want %v", s, is, want)
			}
		}
	}
}

// An end says how long each peer had been silent when the end began. What brings the end
// does not break the silence before it.
func TestSilenceAtTheEnd(t *testing.T) {
	const early, late = 10 * time.Second, 5 * time.Second
	for _, side := range sides {
		for name, test := range map[string]struct {
			ends     func(st *stage, from, to *peer)
			from, to time.Duration
		}{
			"its TCP ends": {
				ends: func(_ *stage, from, to *peer) { from.hangsUp(); to.read(); to.hangsUp() },
				from: late, to: early + late,
			},
			"its Close": {
				ends: func(_ *stage, from, to *peer) {
					from.sends(wire.Close(1000, "idle"))
					to.wants("the Close", wire.Close(1000, "idle"))
					to.hangsUp()
					from.hangsUp()
				},
				from: late, to: early + late,
			},
			"a message, and its Close with it": {
				ends: func(_ *stage, from, to *peer) {
					from.sends(wire.Text("last words"), wire.Close(1000, ""))
					to.read()
					to.hangsUp()
					from.hangsUp()
				},
				from: 0, to: early + late,
			},
			"it breaks the protocol": {
				ends: func(_ *stage, from, to *peer) {
					from.sends(wire.Text("x").Reserved(2))
					to.read()
					to.hangsUp()
					from.hangsUp()
				},
				from: late, to: early + late,
			},
			"a message, and it breaks the protocol with it": {
				ends: func(_ *stage, from, to *peer) {
					from.sends(wire.Text("last words"), wire.Text("x").Reserved(2))
					to.read()
					to.hangsUp()
					from.hangsUp()
				},
				from: 0, to: early + late,
			},
			"what comes after the end has begun": {
				ends: func(st *stage, from, to *peer) {
					from.sends(wire.Close(1000, ""))
					to.wants("the Close", wire.Close(1000, ""))
					st.pass(time.Second)
					to.sends(wire.Text("on its way"))
					st.pass(time.Second)
					to.sends(wire.Close(1000, ""))
					from.read()
					from.hangsUp()
					to.hangsUp()
				},
				from: late, to: early + late,
			},
		} {
			t.Run(side.String()+": "+name, func(t *testing.T) {
				st, from, to, wants := silences(t, side)
				st.pass(early)
				from.sends(wire.Text("hello"))
				to.wants("it is passed on", wire.Text("hello"))
				st.pass(late)
				test.ends(st, from, to)
				wants(test.from, test.to)
			})
		}
	}
}

// Pongs break a silence as messages do: a middlebox counts bytes.
func TestPongsBreakASilence(t *testing.T) {
	var got *Ended
	st := newStage(t, func(c *Config) { c.Ended = func(e *Ended) { got = e } })
	c, u := st.session(false)
	st.pass(20 * time.Second)
	c.wantsPing("due, and not answered")
	u.sends(u.wantsPing("due"))
	st.pass(20 * time.Second)
	c.read()
	u.read()
	u.hangsUp()
	st.dropped(client, metrics.PingTimeout)
	if is := got.Legs[client].Silent; is < 39*time.Second || is > 41*time.Second {
		t.Errorf("the client had been silent for %v, want about 40s", is)
	}
	if is := got.Legs[upstream].Silent; is < 19*time.Second || is > 21*time.Second {
		t.Errorf("the upstream had been silent for %v, want about 20s", is)
	}
}

// A session may last for longer than a moment can count.
func TestSilenceOfAnOldSession(t *testing.T) {
	st, from, to, wants := silences(t, client)
	st.pass(496 * 24 * time.Hour)
	from.sends(wire.Text("hello"))
	to.wants("it is passed on", wire.Text("hello"))
	st.pass(2 * 24 * time.Hour)
	to.sends(wire.Text("hello"))
	from.wants("it is passed on", wire.Text("hello"))
	st.pass(time.Minute)
	from.hangsUp()
	to.read()
	to.hangsUp()
	wants(2*24*time.Hour+time.Minute, time.Minute)
}

// All that the line about the end of a session tells, and in which order.
func TestLineAboutAnEnd(t *testing.T) {
	var log strings.Builder
	st := newStage(t, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	c, u := st.session(false)
	st.pass(20 * time.Second)
	c.sends(c.wantsPing("due"))
	u.sends(u.wantsPing("due"))
	c.sends(wire.Text("hello"), wire.Close(4000, "done"))
	u.wants("both are passed on", wire.Text("hello"), wire.Close(4000, "done"))
	u.sends(wire.Close(4000, "done"))
	c.read()
	c.hangsUp()
	u.hangsUp()
	st.closed(client)

	var names []string
	fields := json.NewDecoder(strings.NewReader(lastLine(log.String())))
	for _, err := fields.Token(); err == nil && fields.More(); {
		name, _ := fields.Token()
		_, err = fields.Token()
		names = append(names, name.(string))
	}
	if want := strings.Fields(`time level msg session client path upstream address side reason
		duration client_silent upstream_silent client_frames upstream_frames client_bytes upstream_bytes
		close_from_client close_to_client close_from_upstream close_to_upstream client_rtt upstream_rtt`); !slices.Equal(names, want) {
		t.Errorf("the line has the fields\n%v, want\n%v", names, want)
	}
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
