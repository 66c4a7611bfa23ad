package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/upgrade"
)

// idAttr is the attribute that names a session in the log.
func idAttr(id uint64) slog.Attr { return slog.String("session", SessionName(id)) }

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
	attrs := make([]slog.Attr, 0, 25)
	attrs = append(attrs,
		idAttr(e.ID),
		slog.String("client", ClientName(e.Client)),
		slog.String("path", e.Path),
		slog.String("upstream", e.Upstream),
		slog.String("address", e.Address),
		slog.String("side", e.Side.String()),
		slog.String("reason", reason),
		slog.Duration("duration", e.Duration),
		slog.Duration("client_silent", c.Silent),
		slog.Duration("upstream_silent", u.Silent),
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
	attrs = appendRTT(attrs, "client_rtt", c.RTT, c.Measured)
	attrs = appendRTT(attrs, "upstream_rtt", u.RTT, u.Measured)
	attrs = appendRTT(attrs, "client_app_rtt", c.AppRTT, c.AppMeasured)
	attrs = appendRTT(attrs, "upstream_app_rtt", u.AppRTT, u.AppMeasured)
	l.log.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
}

// appendCode appends a close code, if there was a Close. Without a code it is 1005 (RFC 6455
// 7.1.5), so that programs find a number.
func appendCode(attrs []slog.Attr, name string, code uint16) []slog.Attr {
	if code == noCode {
		return attrs
	}
	return append(attrs, slog.Int(name, int(code)))
}

func appendRTT(attrs []slog.Attr, name string, rtt time.Duration, measured bool) []slog.Attr {
	if measured {
		return append(attrs, slog.Duration(name, rtt))
	}
	return attrs
}

// unixName is the name of a peer of a unix socket.
const unixName = "unix"

// ClientName returns the name of a client: its address, as far as it is known, or "unix".
func ClientName(remote netip.AddrPort) string {
	switch {
	case !remote.IsValid():
		return unixName
	case remote.Port() == 0:
		return remote.Addr().String()
	default:
		return remote.String()
	}
}

// mayLog reports whether the log is to have one more line about a handshake that ended
// like this. Clients can cause as many handshakes as they like, see package ration.
func (s *Server) mayLog(level slog.Level, result metrics.Result) bool {
	return s.rations.Allows(level, result.String())
}

// logHandshake logs why a handshake failed. A handshake that failed before its request
// was read has no upstream.
func (l *loop) logHandshake(s *session, level slog.Level, result metrics.Result, step string, err error) {
	if !l.server.mayLog(level, result) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, idAttr(s.id), slog.String("client", ClientName(s.remote())), slog.String("path", s.path))
	if s.target != nil {
		attrs = append(attrs, slog.String("upstream", s.target.Name()), slog.String("address", s.target.Address()))
	}
	attrs = append(attrs,
		slog.String("result", result.String()),
		slog.String("step", step),
		slog.String("error", err.Error()))
	l.log.LogAttrs(context.Background(), level, "handshake failed", attrs...)
}

// levelOf returns the level at which a handshake is logged that was given up with result.
func levelOf(result metrics.Result) slog.Level {
	switch result {
	case metrics.ResultLimit: // this host has too little of something
		return slog.LevelWarn
	case metrics.ResultClientGone, metrics.ResultInternal: // any client may leave; a fault was logged before
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// upstreamLevel returns the level at which a failure of a target is logged: a warning,
// unless the log has said that the target is down.
func upstreamLevel(t *backend.Target) slog.Level {
	if t == nil || t.Up() {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// undialledLevel returns the level at which a request is logged that has reached no target:
// a warning if a target works. If such a target is out of use, an operator can bring it back.
// If none works, the log has said so.
func (s *Server) undialledLevel() slog.Level {
	if s.pool.Works() {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// loggedOrigin is how many bytes of a refused Origin are logged. No host name is longer
// than 253.
const loggedOrigin = 300

// logRefusal logs why a client was refused.
func (l *loop) logRefusal(s *session, result metrics.Result, r *upgrade.Refusal) {
	if !l.server.mayLog(slog.LevelInfo, result) {
		return
	}
	attrs := make([]slog.Attr, 0, 7)
	attrs = append(attrs,
		idAttr(s.id), slog.String("client", ClientName(s.remote())), slog.String("path", s.path),
		slog.String("result", result.String()), slog.Int("status", r.Status), slog.String("why", r.Reason))
	if result == metrics.ResultOriginDenied && s.opening.request != nil {
		origin, _ := s.opening.request.Origin()
		attrs = append(attrs, slog.String("origin", origin[:min(len(origin), loggedOrigin)]))
	}
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "handshake refused", attrs...)
}

// logOpened logs that a session has opened, at debug level: its end has a line of its own.
func (l *loop) logOpened(s *session, handshake time.Duration) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "session opened",
			idAttr(s.id), slog.String("client", ClientName(s.remote())), slog.String("path", s.path),
			slog.String("upstream", s.target.Name()), slog.String("address", s.target.Address()), slog.Duration("handshake", handshake))
	}
}

func (l *loop) logPing(s *session, side Side) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "ping sent",
			idAttr(s.id), slog.String("side", side.String()))
	}
}

func (l *loop) logAppPing(s *session, side Side) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "application ping sent",
			idAttr(s.id), slog.String("side", side.String()))
	}
}

func (l *loop) logAppPong(s *session, side Side, pong heartbeat.Answer) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "application pong received",
			idAttr(s.id), slog.String("side", side.String()), slog.Duration("rtt", pong.Took))
	}
}

func (l *loop) logPong(s *session, side Side, pong heartbeat.Answer) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "pong received",
			idAttr(s.id), slog.String("side", side.String()), slog.Duration("rtt", pong.Took), slog.Bool("echo", pong.Echo))
	}
}
