package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/internal/ration"
)

// Clients that are refused again and again do not fill the log, and what was left out is
// counted. Another reason still has its lines.
func TestRefusalsAreRationed(t *testing.T) {
	var log bytes.Buffer
	st := newStage(t, func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	st.server.rations = ration.New(st.server.cfg.Log, st.l.clock, func(time.Duration, func()) {})
	refused := func(n int) {
		for range n {
			p := st.connects()
			p.sendsString("GET / HTTP/9\r\n\r\n")
			p.hangsUp()
		}
	}
	wants := func(text string, n int) {
		t.Helper()
		if got := strings.Count(log.String(), text); got != n {
			t.Errorf("the log has %q %d times, want %d:\n%s", text, got, n, log.String())
		}
	}
	refused(ration.Lines + 5)
	wants("result=bad_request", ration.Lines)
	st.connects().sendsString("GET ")
	st.pass(st.server.cfg.HandshakeTimeout)
	wants("result=timeout", 1)
	st.pass(ration.Period)
	refused(1)
	wants("result=bad_request", ration.Lines+1)
	wants(`level=INFO msg="log lines left out" kind=bad_request lines=5`, 1)
}
