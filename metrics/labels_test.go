package metrics

import (
	"slices"
	"testing"
)

// TestSeries wants one series for each value of each enum, and no other.
func TestSeries(t *testing.T) {
	legLabels := labelsOf(Side(legs))
	opcodeLabels := []string{"continuation", "text", "binary", "close", "ping", "pong"}
	codeLabels := labelsOf(closeCode(closeCodes))

	drops := []string{
		"proxy idle_timeout", "proxy max_duration", "proxy drain", "proxy admin", "proxy internal",
	}
	for _, leg := range legLabels {
		for _, reason := range []string{
			"ping_timeout", "write_timeout", "close_timeout", "eof", "reset", "io_error", "protocol_error", "too_big",
		} {
			drops = append(drops, leg+" "+reason)
		}
	}

	want := map[string][]string{
		"holdfast_sessions_closed_total":       legLabels,
		"holdfast_sessions_dropped_total":      drops,
		"holdfast_handshakes_total":            labelsOf(Result(results)),
		"holdfast_handshake_duration_seconds":  labelsOf(Stage(stages)),
		"holdfast_close_frames_received_total": pairs(legLabels, codeLabels),
		"holdfast_pings_sent_total":            legLabels,
		"holdfast_pongs_received_total":        legLabels,
		"holdfast_pings_answered_total":        legLabels,
		"holdfast_ping_rtt_seconds":            legLabels,
		"holdfast_frames_total":                pairs(legLabels, opcodeLabels),
		"holdfast_received_bytes_total":        legLabels,
		"holdfast_sent_bytes_total":            legLabels,
		"holdfast_buffered_bytes":              legLabels,
		"holdfast_reads_paused":                legLabels,
	}
	got := seriesOf(t, New("1.2.3"))
	for name, labels := range want {
		slices.Sort(labels)
		slices.Sort(got[name])
		if !slices.Equal(got[name], labels) {
			t.Errorf("%s has the series\n\t%q, want\n\t%q", name, got[name], labels)
		}
	}
}

// TestPeersCreateNoSeries counts all that a peer can invent.
func TestPeersCreateNoSeries(t *testing.T) {
	m := New("1.2.3")
	l := m.NewLoop()
	before := seriesOf(t, m)
	for n := range 1 << 16 {
		l.CloseReceived(Client, n)
		l.Frames(Client, uint8(n), 1)
	}
	for name, labels := range seriesOf(t, m) {
		if !slices.Equal(labels, before[name]) {
			t.Errorf("%s has the series %q, had %q", name, labels, before[name])
		}
	}
}

// seriesOf returns the label values of each series of our metrics, in the order
// of their names: "client eof" for {reason="eof",side="client"}.
func seriesOf(t *testing.T, m *Metrics) map[string][]string {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string][]string{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var side, rest string
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == "side" {
					side = pair.GetValue()
				} else {
					rest = pair.GetValue()
				}
			}
			labels := side + " " + rest
			switch {
			case side == "":
				labels = rest
			case rest == "":
				labels = side
			}
			series[family.GetName()] = append(series[family.GetName()], labels)
		}
	}
	return series
}

func labelsOf[E interface {
	~uint8
	String() string
}](count E) []string {
	var labels []string
	for v := range count {
		labels = append(labels, v.String())
	}
	return labels
}

func pairs(first, second []string) []string {
	var all []string
	for _, f := range first {
		for _, s := range second {
			all = append(all, f+" "+s)
		}
	}
	return all
}

func TestLegalDrop(t *testing.T) {
	ours := []Reason{IdleTimeout, MaxDuration, Drain, Admin, Internal}
	for reason := range Reason(reasons) {
		proxy := slices.Contains(ours, reason)
		for side, want := range map[Side]bool{Client: !proxy, Upstream: !proxy, Proxy: proxy, Side(sides): false} {
			if got := LegalDrop(side, reason); got != want {
				t.Errorf("LegalDrop(%v, %v) is %v", side, reason, got)
			}
		}
	}
	for side := range Side(sides) {
		if LegalDrop(side, Reason(reasons)) {
			t.Errorf("LegalDrop(%v, %v) is true", side, Reason(reasons))
		}
	}
}

func TestCloseCodeBuckets(t *testing.T) {
	for code, want := range map[int]string{
		-1: "none", 0: "other", 999: "other",
		1000: "1000", 1005: "1005", 1011: "1011", 1015: "1015",
		1016: "other", 2999: "other",
		3000: "3xxx", 3999: "3xxx", 4000: "4xxx", 4999: "4xxx",
		5000: "other", 65535: "other",
	} {
		if got := bucket(code).String(); got != want {
			t.Errorf("code %d is counted as %s, want %s", code, got, want)
		}
	}
}

func TestStringOutsideEnum(t *testing.T) {
	for got, want := range map[string]string{
		Side(200).String():   "Side(200)",
		Reason(200).String(): "Reason(200)",
		Result(200).String(): "Result(200)",
		Stage(200).String():  "Stage(200)",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
