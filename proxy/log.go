package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/upgrade"
)

// idAttr is the attribute that names a session in the log.
func idAttr(s *session) slog.Attr { return slog.String("session", strconv.FormatUint(s.id, 10)) }

// durationAttr logs a duration as a string with its unit. As a Duration it would be a
// bare number of nanoseconds in JSON.
func durationAttr(name string, d time.Duration) slog.Attr { return slog.String(name, d.String()) }

// loggedCode returns a close code as package metrics takes it: -1 for an empty Close.
func loggedCode(code uint16) int {
	if code == emptyCode {
		return -1
	}
	return int(code)
}

// logEnd writes the one log line about the end of a session.
func (l *loop) logEnd(e *Ended) {
	if !l.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	c, u := &e.Legs[client], &e.Legs[upstream]
	message, reason := "session dropped", e.Reason.String()
	if e.Closed {
		message, reason = "session closed", "close"
	}
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("session", strconv.FormatUint(e.ID, 10)),
		slog.String("client", clientName(e.Client)),
		slog.String("path", e.Path),
		slog.String("upstream", e.Upstream),
		slog.String("side", e.Side.String()),
		slog.String("reason", reason),
		durationAttr("duration", e.Duration),
		slog.Uint64("client_frames", c.Frames),
		slog.Uint64("upstream_frames", u.Frames),
		slog.Uint64("client_bytes", c.Received),
		slog.Uint64("upstream_bytes", u.Received),
	)
	if e.Detail != "" {
		attrs = append(attrs, slog.String("detail", e.Detail))
	}
	attrs = appendCode(attrs, "close_from_client", c.CloseReceived)
	attrs = appendCode(attrs, "close_to_client", c.CloseSent)
	attrs = appendCode(attrs, "close_from_upstream", u.CloseReceived)
	attrs = appendCode(attrs, "close_to_upstream", u.CloseSent)
	attrs = appendRTT(attrs, "client_rtt", c)
	attrs = appendRTT(attrs, "upstream_rtt", u)
	l.log.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
}

func appendCode(attrs []slog.Attr, name string, code uint16) []slog.Attr {
	switch code {
	case noCode:
		return attrs
	case emptyCode:
		return append(attrs, slog.String(name, "empty"))
	default:
		return append(attrs, slog.Int(name, int(code)))
	}
}

func appendRTT(attrs []slog.Attr, name string, g *EndedLeg) []slog.Attr {
	if g.Measured {
		return append(attrs, durationAttr(name, g.RTT))
	}
	return attrs
}

// clientName returns the name of a client in the log.
func clientName(remote netip.AddrPort) string {
	switch {
	case !remote.IsValid():
		return "unix"
	case remote.Port() == 0:
		return remote.Addr().String()
	default:
		return remote.String()
	}
}

// logHandshake logs why a handshake failed. A failure that an operator must look into is
// a warning; one that any client can cause is logged at debug level. A handshake that
// failed before its request was read has no upstream.
func (l *loop) logHandshake(s *session, level slog.Level, result metrics.Result, step string, err error) {
	attrs := make([]slog.Attr, 0, 7)
	attrs = append(attrs, idAttr(s), slog.String("client", clientName(s.remote())), slog.String("path", s.path))
	if s.backend != nil {
		attrs = append(attrs, slog.String("upstream", s.backend.Name()))
	}
	attrs = append(attrs,
		slog.String("result", result.String()),
		slog.String("step", step),
		slog.String("error", err.Error()))
	l.log.LogAttrs(context.Background(), level, "handshake failed", attrs...)
}

// logRefusal logs why a client was refused, at debug level: any client can cause it.
func (l *loop) logRefusal(s *session, result metrics.Result, r *upgrade.Refusal) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "handshake refused",
			idAttr(s), slog.String("client", clientName(s.remote())),
			slog.String("result", result.String()), slog.Int("status", r.Status), slog.String("why", r.Reason))
	}
}

func (l *loop) logPing(s *session, side Side) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "ping sent",
			idAttr(s), slog.String("side", side.String()))
	}
}

func (l *loop) logPong(s *session, side Side, pong heartbeat.Answer) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "pong received",
			idAttr(s), slog.String("side", side.String()), durationAttr("rtt", pong.Took), slog.Bool("echo", pong.Echo))
	}
}
