package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
	dto "github.com/prometheus/client_model/go"

	"holdfast/heartbeat"
	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

// closeTimeout is short, so that the demo ends soon.
const closeTimeout = time.Second

// beatText is the heartbeat that each client of Holdfast gets, because a page's script does
// not see pings.
const beatText = `{"type":"heartbeat"}`

// newProxy returns Holdfast with shorter times than users would set.
func newProxy(t times, upstream string, j *journal, m *metrics.Metrics, book *status.Book) (*proxy.Server, error) {
	rules := heartbeat.Rules{Interval: t.interval, Timeout: t.timeout, Pong: heartbeat.RequirePong}
	upstreamRules := rules
	upstreamRules.Pong = heartbeat.LearnPong
	return proxy.New(proxy.Config{
		Listen:           anyPort,
		Upstreams:        []proxy.Upstream{{URL: &url.URL{Scheme: "ws", Host: upstream}}},
		Client:           rules,
		UpstreamSide:     upstreamRules,
		ClientApp:        proxy.App{Ping: beatText, Interval: t.interval},
		HealthInterval:   -1, // the middlebox shows every connection, and a check's is not a session
		HandshakeTimeout: 5 * time.Second,
		HTTPTimeout:      5 * time.Second,
		DialTimeout:      5 * time.Second,
		WriteTimeout:     5 * time.Second,
		CloseTimeout:     closeTimeout,
		MaxSessions:      64,
		MaxFrameSize:     maxMessage,
		MaxHeaderSize:    32 << 10,
		CloseCodes: proxy.CloseCodes{
			Timeout:      uint16(ws.StatusInternalServerError),
			UpstreamLost: 1012, // RFC 6455 7.4.2's registry: service restart
			Drain:        drainCode,
		},
		Loops:   1,
		Log:     slog.New(journalHandler{j}),
		Metrics: m,
		Ended: func(e *proxy.Ended) {
			book.Ended(time.Now(), e)
			j.add(settlement(e))
		},

		UpstreamHandshakeTimeout: 5 * time.Second,
	})
}

// journalHandler writes the warnings and errors that Holdfast logs to the journal. The ends
// of sessions come by settlement instead.
type journalHandler struct{ journal *journal }

func (h journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h journalHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%+q", a.Key, a.Value.Resolve().String())
		return true
	})
	h.journal.remark(theHoldfast, "%s", text)
	return nil
}

// settlement returns the event of a session's end. Its reason is "close" if a close
// handshake ended the session.
func settlement(e *proxy.Ended) event {
	name, reason := nameOf(e.Path), e.Reason.String()
	text := fmt.Sprintf("has dropped %s: %s %s", name, e.Side, strings.ReplaceAll(reason, "_", " "))
	if e.Closed {
		reason = "close"
		text = fmt.Sprintf("has closed %s: the %s said goodbye", name, e.Side)
	}
	return event{Who: theHoldfast, Text: text, kind: settled, name: name, reason: reason}
}

// WithAttrs and WithGroup return h itself: the demo needs the line's own attributes only.
func (h journalHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h journalHandler) WithGroup(string) slog.Handler      { return h }

// counters are the metrics of Holdfast that the demo shows.
type counters struct {
	Active       float64 `json:"active"`
	Opened       float64 `json:"opened"`
	Closed       float64 `json:"closed"`
	Dropped      float64 `json:"dropped"`
	PingTimeouts float64 `json:"pingTimeouts"` // of clients
	Pings        float64 `json:"pings"`        // to clients
	Pongs        float64 `json:"pongs"`        // from clients
	RoundTrip    float64 `json:"roundTrip"`    // to clients and back, mean, in seconds
}

// droppedFrozen is the series that counts frozen clients, in the notation of Prometheus.
const droppedFrozen = `holdfast_sessions_dropped_total{side="client",reason="ping_timeout"}`

func readCounters(m *metrics.Metrics) (counters, error) {
	families, err := m.Registry().Gather()
	if err != nil {
		return counters{}, err
	}
	var c counters
	client := map[string]string{"side": metrics.Client.String()}
	for _, f := range families {
		switch f.GetName() {
		case "holdfast_sessions_active":
			c.Active = sum(f, nil)
		case "holdfast_sessions_opened_total":
			c.Opened = sum(f, nil)
		case "holdfast_sessions_closed_total":
			c.Closed = sum(f, nil)
		case "holdfast_sessions_dropped_total":
			c.Dropped = sum(f, nil)
			c.PingTimeouts = sum(f, map[string]string{
				"side": metrics.Client.String(), "reason": metrics.PingTimeout.String(),
			})
		case "holdfast_pings_sent_total":
			c.Pings = sum(f, client)
		case "holdfast_pongs_received_total":
			c.Pongs = sum(f, client)
		case "holdfast_ping_rtt_seconds":
			c.RoundTrip = mean(f, client)
		}
	}
	return c, nil
}

// sum adds up the series of a counter or gauge that have all these labels.
func sum(f *dto.MetricFamily, labels map[string]string) (total float64) {
	for _, m := range f.GetMetric() {
		if matches(m, labels) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() // m is only one of them
		}
	}
	return total
}

// mean returns the mean of a histogram's observations, or 0 if there are none.
func mean(f *dto.MetricFamily, labels map[string]string) float64 {
	var total, n float64
	for _, m := range f.GetMetric() {
		if matches(m, labels) {
			total += m.GetHistogram().GetSampleSum()
			n += float64(m.GetHistogram().GetSampleCount())
		}
	}
	if n == 0 {
		return 0
	}
	return total / n
}

func matches(m *dto.Metric, labels map[string]string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		if labels[l.GetName()] == l.GetValue() {
			found++
		}
	}
	return found == len(labels)
}
