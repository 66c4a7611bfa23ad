package status

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast/metrics"
	"holdfast/proxy"
)

var begin = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// A counted is a Book and what it counts.
type counted struct {
	*Book
	now  time.Time
	loop *metrics.Loop
}

func newCounted() *counted {
	m := metrics.New("test")
	return &counted{New("v1", m.Snapshot, begin), begin, m.NewLoop()}
}

// pass lets time pass, with its samples.
func (c *counted) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(min(SampleEvery, end.Sub(c.now)))
		c.Sample(c.now)
	}
}

func (c *counted) drops(n int) {
	for range n {
		c.loop.Opened()
		c.loop.Dropped(metrics.Client, metrics.PingTimeout)
	}
}

func TestCountsAreOfTheWindow(t *testing.T) {
	c := newCounted()
	wants := func(why string, want ...Dropped) {
		t.Helper()
		got := c.Status(c.now).Ends
		if !slices.Equal(got.Dropped, want) {
			t.Errorf("%s: dropped are %v, want %v", why, got.Dropped, want)
		}
		opened := uint64(0)
		for _, d := range want {
			opened += d.Count
		}
		if got.Opened != opened || got.Window != 900 {
			t.Errorf("%s: %d are opened in %v s, want %d", why, got.Opened, got.Window, opened)
		}
	}
	wants("nothing has happened")
	c.drops(3)
	wants("the counts are of this moment", Dropped{"client", "ping_timeout", 3})
	c.pass(10 * time.Minute)
	c.drops(2)
	wants("all are of the window", Dropped{"client", "ping_timeout", 5})
	c.pass(5*time.Minute - SampleEvery)
	wants("the first are at its beginning", Dropped{"client", "ping_timeout", 5})
	c.pass(2 * SampleEvery)
	wants("the first are older", Dropped{"client", "ping_timeout", 2})
	c.pass(10 * time.Minute)
	wants("all are older")
}

// What a Book holds does not grow with its age.
func TestSamplesAreBounded(t *testing.T) {
	c := newCounted()
	c.pass(3 * time.Hour)
	if most := int(Window/SampleEvery) + 1; len(c.window) > most {
		t.Errorf("there are %d samples, want at most %d", len(c.window), most)
	}
	if oldest := c.now.Sub(c.window[0].at); oldest < Window {
		t.Errorf("the oldest sample is of the last %v, want one of %v ago or earlier", oldest, Window)
	}
	if most := int(Window / SampleEvery); cap(c.window) > 2*most+2 {
		t.Errorf("there is room for %d samples", cap(c.window))
	}
}

// The process was stopped for hours, or the host was: no sample was taken.
func TestNoSampleForLong(t *testing.T) {
	c := newCounted()
	c.drops(1)
	c.pass(time.Minute)
	c.now = c.now.Add(3 * time.Hour)
	if got := c.Status(c.now).Ends.Dropped; len(got) != 0 {
		t.Errorf("dropped in the window are %v, want none: nothing has happened for hours", got)
	}
}

func TestRatesAreOfTheLastSeconds(t *testing.T) {
	c := newCounted()
	c.loop.Received(metrics.Client, 1_000_000)
	if got := c.Status(c.now).Legs.Client.ReceivedRate; got != 0 {
		t.Errorf("no time has passed, and the rate is %v", got)
	}
	c.pass(time.Minute)
	c.loop.Received(metrics.Client, 400)
	c.loop.Sent(metrics.Upstream, 200)
	c.loop.PingSent(metrics.Client)
	c.now = c.now.Add(4 * time.Second)
	s := c.Status(c.now)
	for _, tc := range []struct {
		name      string
		got, want float64
	}{
		{"received from clients", s.Legs.Client.ReceivedRate, 100},
		{"sent to upstreams", s.Legs.Upstream.SentRate, 50},
		{"pings", s.Legs.Client.PingsSentRate, 0.25},
		{"received from upstreams", s.Legs.Upstream.ReceivedRate, 0},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v a second, want %v", tc.name, tc.got, tc.want)
		}
	}
	c.Sample(c.now) // a sample of this moment is of no use for a rate
	if got := c.Status(c.now).Legs.Client.ReceivedRate; got != 100 {
		t.Errorf("with a new sample: %v bytes a second, want 100", got)
	}
}

func TestGaugesAreOfThisMoment(t *testing.T) {
	c := newCounted()
	c.loop.Buffered(metrics.Upstream, 7)
	c.loop.Paused(metrics.Client, 1)
	c.pass(time.Minute)
	if s := c.Status(c.now); s.Legs.Upstream.BufferedBytes != 7 || s.Legs.Client.ReadsPaused != 1 {
		t.Errorf("the legs are %+v", s.Legs)
	}
}

func TestQuantiles(t *testing.T) {
	bounds := []float64{0.001, 0.002, 0.010}
	is := func(got *float64, want string) bool {
		if got == nil {
			return want == "none"
		}
		return strconv.FormatFloat(*got, 'f', 2, 64) == want
	}
	for _, tc := range []struct {
		name          string
		counts        []uint64
		p50, p90, p99 string
	}{
		{"none", []uint64{0, 0, 0, 0}, "none", "none", "none"},
		{"all in the first bucket", []uint64{10, 10, 10, 10}, "0.50", "0.90", "0.99"},
		{"all in the last", []uint64{0, 0, 10, 10}, "6.00", "9.20", "9.92"},
		{"evenly spread", []uint64{50, 90, 100, 100}, "1.00", "2.00", "9.20"},
		{"beyond the last bound", []uint64{0, 0, 0, 4}, "10.00", "10.00", "10.00"},
		{"one", []uint64{0, 1, 1, 1}, "1.50", "1.90", "1.99"},
	} {
		got := rtt(tc.counts, bounds)
		if !is(got.P50, tc.p50) || !is(got.P90, tc.p90) || !is(got.P99, tc.p99) {
			text, _ := json.Marshal(got)
			t.Errorf("%s: %s, want %s, %s, %s", tc.name, text, tc.p50, tc.p90, tc.p99)
		}
		last := got.Buckets[len(got.Buckets)-1]
		if len(got.Buckets) != len(bounds)+1 || last.LE != nil || last.Count != tc.counts[3] || *got.Buckets[1].LE != 2 {
			t.Errorf("%s: the buckets are %+v", tc.name, got.Buckets)
		}
	}
}

// Every result is there from the start.
func TestHandshakeResults(t *testing.T) {
	c := newCounted()
	c.loop.Handshake(metrics.ResultLimit)
	got := c.Status(c.now).HandshakeResults.Results
	if got["limit"] != 1 || got["ok"] != 0 {
		t.Errorf("the results are %v", got)
	}
	for result := metrics.ResultOK; result <= metrics.ResultInternal; result++ {
		if _, there := got[result.String()]; !there {
			t.Errorf("%v is not there", result)
		}
	}
}

func ended(id uint64) *proxy.Ended { return &proxy.Ended{ID: id} }

// ids returns the numbers of ends.
func ids(ends []End) (all []uint64) {
	for _, e := range ends {
		id, _ := proxy.SessionID(e.ID)
		all = append(all, id)
	}
	return all
}

func TestLastEndsAreKept(t *testing.T) {
	c := newCounted()
	if got, err := json.Marshal(EndList{c.Ends(10)}); err != nil || string(got) != `{"ends":[]}` {
		t.Errorf("without an end the list is %s, %v", got, err)
	}
	for id := range uint64(250) {
		c.Ended(begin.Add(time.Duration(id)*time.Second), ended(id))
	}
	all := c.Ends(1000)
	if len(all) != EndsKept || all[0].ID != proxy.SessionName(249) || all[99].ID != proxy.SessionName(150) || !all[0].Time.Equal(begin.Add(249*time.Second)) {
		t.Errorf("%d ends are kept, from %+v to %+v", len(all), all[0], all[len(all)-1])
	}
	if got := ids(c.Ends(3)); !slices.Equal(got, []uint64{249, 248, 247}) {
		t.Errorf("the last three are %v", got)
	}
}

func TestEndsSince(t *testing.T) {
	c := newCounted()
	c.Ended(begin, ended(1))
	next := c.Next()
	for _, tc := range []struct {
		name    string
		come    int
		most    int
		want    []uint64
		skipped uint64
	}{
		{"nothing has come", 0, 20, nil, 0},
		{"two have come", 2, 20, []uint64{100, 101}, 0},
		{"nothing more", 0, 20, nil, 0},
		{"too many", 5, 2, []uint64{103, 104}, 3},
		{"more than are kept", 300, 1, []uint64{399}, 299},
	} {
		for i := range tc.come {
			c.Ended(begin, ended(uint64(100+i)))
		}
		got, skipped, after := c.EndsSince(next, tc.most)
		if !slices.Equal(ids(got), tc.want) || skipped != tc.skipped {
			t.Errorf("%s: %v and %d skipped, want %v and %d", tc.name, ids(got), skipped, tc.want, tc.skipped)
		}
		next = after
	}
}

// Loops tell of ends while requests read them.
func TestBookIsShared(t *testing.T) {
	c := newCounted()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				at := begin.Add(time.Duration(i) * time.Second)
				c.Ended(at, ended(uint64(i)))
				c.Sample(at)
				c.Status(at)
				c.Ends(10)
				c.EndsSince(0, 10)
			}
		})
	}
	all.Wait()
	if n := c.Next(); n != 800 {
		t.Errorf("%d ends were told, want 800", n)
	}
}

func TestJSON(t *testing.T) {
	rtt := 1500 * time.Microsecond
	session := proxy.SessionStatus{
		ID: 35 + 36, Client: netip.MustParseAddrPort("192.0.2.1:1234"), Path: "/chat", Upstream: "ws://a.example:80", Address: "192.0.2.9:80",
		State: proxy.SessionLive, Age: 90 * time.Second, Idle: time.Second,
		Legs: [2]proxy.LegStatus{{Frames: 1, Buffered: 2, Silent: 3 * time.Second, RTT: rtt, Measured: true}, {Frames: 4, AppRTT: 1000 * rtt, AppMeasured: true}},
	}
	end := proxy.Ended{
		ID: 36, Path: "/x", Upstream: "unix:/run/a", Address: "/run/a", Side: metrics.Client, Reason: metrics.EOF, Detail: "why",
		Duration: time.Minute, Legs: [2]proxy.EndedLeg{{CloseSent: 1012, Silent: time.Second}, {CloseReceived: 1005}},
	}
	closed := end
	closed.Closed = true
	for _, tc := range []struct {
		name string
		of   any
		want string
	}{
		{"a session", SessionListOf(proxy.SessionList{Total: 9, Matched: 2, Sessions: []proxy.SessionStatus{session}}),
			`{"total":9,"matched":2,"shown":1,"sessions":[{"id":"1z","client":"192.0.2.1:1234","path":"/chat","upstream":"ws://a.example:80","address":"192.0.2.9:80",` +
				`"age_s":90,"idle_s":1,"client_rtt_ms":1.5,"upstream_rtt_ms":null,"client_app_rtt_ms":null,"upstream_app_rtt_ms":1500,"client_silent_s":3,"upstream_silent_s":0,` +
				`"client_buffered_bytes":2,"upstream_buffered_bytes":0,"client_frames":1,"upstream_frames":4,"state":"live"}]}`},
		{"no session", SessionListOf(proxy.SessionList{}), `{"total":0,"matched":0,"shown":0,"sessions":[]}`},
		{"a drop", endOf(begin, &end), `{"time":"2024-05-06T07:08:09Z","id":"10","client":"unix","path":"/x","upstream":"unix:/run/a","address":"/run/a","closed":false,` +
			`"side":"client","reason":"eof","detail":"why","duration_s":60,"client_silent_s":1,"upstream_silent_s":0,` +
			`"close_to_client":1012,"close_from_client":0,"close_to_upstream":0,"close_from_upstream":1005}`},
		{"a close", endOf(begin, &closed).Reason, `"close"`},
		{"a target", UpstreamOf(proxy.TargetStatus{Upstream: "ws://a.example:80", Address: "192.0.2.9:80", State: proxy.TargetUp, Sessions: 2}),
			`{"name":"a.example:80","upstream":"ws://a.example:80","address":"192.0.2.9:80","state":"up","sessions":2,"handshakes":0}`},
	} {
		if got, err := json.Marshal(tc.of); err != nil || string(got) != tc.want {
			t.Errorf("%s is\n%s, %v, want\n%s", tc.name, got, err, tc.want)
		}
	}
}
