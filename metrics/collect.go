package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	activeDesc = describe("holdfast_sessions_active",
		"Sessions open now: those opened that were neither closed nor dropped.")
	openedDesc = describe("holdfast_sessions_opened_total",
		"Sessions that began: the client was sent its whole 101.")
	closedDesc = describe("holdfast_sessions_closed_total",
		"Sessions that ended by a completed close handshake, by the side that began it.", "side")
	droppedDesc = describe("holdfast_sessions_dropped_total",
		"Sessions that ended in any other way, by the side at fault (proxy: ended by the proxy itself) and the reason.",
		"side", "reason")
	handshakesDesc = describe("holdfast_handshakes_total",
		"Opening handshakes that ended, by result; all but ok were refused or given up.", "result")
	handshakesActiveDesc = describe("holdfast_handshakes_active",
		"Handshakes under way now: requests that wait for an upstream's answer among them, and refusals.")
	closeFramesDesc = describe("holdfast_close_frames_received_total",
		"Close frames received, by the side that sent them and their code: "+
			"1000 to 1015, 3xxx, 4xxx, other, or none if the frame held no code.", "side", "code")
	pingsSentDesc = describe("holdfast_pings_sent_total",
		"Pings that the proxy sent on its own, by the side they went to.", "side")
	pongsReceivedDesc = describe("holdfast_pongs_received_total",
		"Pongs that answered the proxy's own pings, by the side they came from.", "side")
	pingsAnsweredDesc = describe("holdfast_pings_answered_total",
		"Pings of peers that the proxy answered itself, by the side they came from.", "side")
	appPingsSentDesc = describe("holdfast_app_pings_sent_total",
		"Application heartbeats that the proxy sent on its own, by the side they went to.", "side")
	appPongsReceivedDesc = describe("holdfast_app_pongs_received_total",
		"Messages that answered the proxy's own application heartbeats, by the side they came from.", "side")
	appPingsAnsweredDesc = describe("holdfast_app_pings_answered_total",
		"Application heartbeats of peers that the proxy answered itself, by the side they came from.", "side")
	framesDesc = describe("holdfast_frames_total",
		"WebSocket frames received, by the side that sent them and their opcode.", "side", "opcode")
	receivedDesc = describe("holdfast_received_bytes_total",
		"Bytes received for sessions, by the side they came from: heads of handshakes, and frames as they came, with their headers and control frames. "+
			"TLS and requests that are not upgrades are left out.", "side")
	sentDesc = describe("holdfast_sent_bytes_total",
		"Bytes sent for sessions, by the side they went to: heads of handshakes, and frames as they left, with their headers and the proxy's own. "+
			"TLS and requests that are not upgrades are left out.", "side")
	bufferedDesc = describe("holdfast_buffered_bytes",
		"Bytes that wait in the proxy to be sent, by the side they go to.", "side")
	logLinesLostDesc = describe("holdfast_log_lines_lost_total",
		"Log lines that were lost because the log's reader was too slow, or because the log could not be written.")
	reloadFailuresDesc = describe("holdfast_reload_failures_total",
		"Times that changed TLS files could not be used; those loaded before stayed in use.")
	panicsDesc = describe("holdfast_panics_total",
		"Panics in the proxy's own code that were caught; the log has the first of each place.")
	pausedDesc = describe("holdfast_reads_paused",
		"Connections that are not read from because the other side of their session is slow, by their own side.", "side")
	throttledDesc = describe("holdfast_reads_throttled_total",
		"Pauses in which a connection was not read because its peer sends faster than it may, by the side of the connection.", "side")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// collector adds up the counts of all loops.
type collector struct{ m *Metrics }

// Describe collects, which yields every description: all series exist from the start.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := scrape{loops: c.m.allLoops(), m: c.m, ch: ch}
	s.sessions()
	s.handshakes()
	s.counter(logLinesLostDesc, c.m.logLinesLost())
	s.counter(reloadFailuresDesc, c.m.reloadFailures.Load())
	s.counter(panicsDesc, c.m.panics.Load())
	for side := range Side(legs) {
		s.traffic(side)
		s.heartbeat(side)
		s.application(side)
		s.closeFrames(side)
	}
}

// scrape is one collection under way.
type scrape struct {
	m     *Metrics
	loops []*Loop
	ch    chan<- prometheus.Metric
}

// sessions makes opened, active and ended sessions add up exactly while the loops go on
// counting. It reads the ends of all loops before the openings of any loop. So it has
// read the opening of each session whose end it has read, and all other opened sessions
// are active. A session that ends in between counts as active in this scrape.
func (s scrape) sessions() {
	var ended uint64
	for side := range Side(legs) {
		n := s.sum(func(l *Loop) *atomic.Uint64 { return &l.legs[side].closed })
		s.counter(closedDesc, n, side.String())
		ended += n
	}
	for side := range Side(sides) {
		for reason := range Reason(reasons) {
			if !LegalDrop(side, reason) {
				continue
			}
			n := s.sum(func(l *Loop) *atomic.Uint64 { return &l.dropped[side][reason] })
			s.counter(droppedDesc, n, side.String(), reason.String())
			ended += n
		}
	}
	opened := s.sum(func(l *Loop) *atomic.Uint64 { return &l.opened })
	s.counter(openedDesc, opened)
	s.gauge(activeDesc, int64(opened-ended))
}

func (s scrape) handshakes() {
	for result := range Result(results) {
		n := s.sum(func(l *Loop) *atomic.Uint64 { return &l.handshakes[result] })
		s.counter(handshakesDesc, n, result.String())
	}
	s.gauge(handshakesActiveDesc, int64(s.m.handshakesActive()))
}

func (s scrape) traffic(side Side) {
	s.legCounter(receivedDesc, side, func(l *leg) *atomic.Uint64 { return &l.received })
	s.legCounter(sentDesc, side, func(l *leg) *atomic.Uint64 { return &l.sent })
	s.legGauge(bufferedDesc, side, func(l *leg) *atomic.Int64 { return &l.buffered })
	s.legGauge(pausedDesc, side, func(l *leg) *atomic.Int64 { return &l.paused })
	s.legCounter(throttledDesc, side, func(l *leg) *atomic.Uint64 { return &l.throttled })
	for _, op := range opcodes {
		s.legCounter(framesDesc, side, func(l *leg) *atomic.Uint64 { return &l.frames[op.code] }, op.label)
	}
}

func (s scrape) heartbeat(side Side) {
	s.legCounter(pingsSentDesc, side, func(l *leg) *atomic.Uint64 { return &l.pingsSent })
	s.legCounter(pongsReceivedDesc, side, func(l *leg) *atomic.Uint64 { return &l.pongsReceived })
	s.legCounter(pingsAnsweredDesc, side, func(l *leg) *atomic.Uint64 { return &l.pingsAnswered })
}

func (s scrape) application(side Side) {
	s.legCounter(appPingsSentDesc, side, func(l *leg) *atomic.Uint64 { return &l.appPingsSent })
	s.legCounter(appPongsReceivedDesc, side, func(l *leg) *atomic.Uint64 { return &l.appPongsReceived })
	s.legCounter(appPingsAnsweredDesc, side, func(l *leg) *atomic.Uint64 { return &l.appPingsAnswered })
}

func (s scrape) closeFrames(side Side) {
	for code := range closeCode(closeCodes) {
		s.legCounter(closeFramesDesc, side, func(l *leg) *atomic.Uint64 { return &l.closeFrames[code] }, code.String())
	}
}

// legCounter collects a count of one side's leg. side is its first label.
func (s scrape) legCounter(desc *prometheus.Desc, side Side, of func(*leg) *atomic.Uint64, labels ...string) {
	n := s.sum(func(l *Loop) *atomic.Uint64 { return of(&l.legs[side]) })
	s.counter(desc, n, append([]string{side.String()}, labels...)...)
}

// legGauge is like legCounter. One loop's part of a gauge may be negative. The sum is
// not negative once all changes have been counted.
func (s scrape) legGauge(desc *prometheus.Desc, side Side, of func(*leg) *atomic.Int64) {
	var n int64
	for _, l := range s.loops {
		n += of(&l.legs[side]).Load()
	}
	s.gauge(desc, n, side.String())
}

func (s scrape) sum(of func(*Loop) *atomic.Uint64) uint64 {
	var n uint64
	for _, l := range s.loops {
		n += of(l).Load()
	}
	return n
}

// counter also sends the time at which the count was 0. So the scraper does not miss
// what was counted before its first scrape.
func (s scrape) counter(desc *prometheus.Desc, n uint64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(
		desc, prometheus.CounterValue, float64(n), s.m.created, labels...)
}

func (s scrape) gauge(desc *prometheus.Desc, n int64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
}
