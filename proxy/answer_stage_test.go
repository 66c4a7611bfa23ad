package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/wire"
)

// A 101 opens a session, whatever an old service says in it about its version, a body and
// the subprotocol. The client is told what it has to judge itself.
func TestAnswersOfOldServices(t *testing.T) {
	const asksDeflate = "Sec-WebSocket-Extensions: permessage-deflate"
	for name, c := range map[string]struct {
		version, asks, answers string
		passes                 bool // the client gets the answer's field
	}{
		"HTTP/1.0":                     {version: "HTTP/1.0"},
		"chunked":                      {answers: "Transfer-Encoding: chunked"},
		"a length":                     {answers: "Content-Length: 5"},
		"a length of 0":                {answers: "Content-Length: 0", passes: true},
		"a subprotocol for nobody":     {answers: "Sec-WebSocket-Protocol: chat", passes: true},
		"a subprotocol in other case":  {asks: "Sec-WebSocket-Protocol: Chat", answers: "Sec-WebSocket-Protocol: chat", passes: true},
		"the whole list":               {asks: "Sec-WebSocket-Protocol: a, b", answers: "Sec-WebSocket-Protocol: a, b", passes: true},
		"a window that was not wanted": {asks: asksDeflate, answers: asksDeflate + "; client_max_window_bits=15", passes: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWaiting(t)
			w.client.sendsString(wire.Request(fieldsOf(c.asks)...))
			answer := w.upstreamReads(fieldsOf(c.answers)...)
			if c.version != "" {
				answer = strings.Replace(answer, "HTTP/1.1", c.version, 1)
			}
			w.upstreamAnswers(answer)
			w.wantsSession(nil)
			told := w.client.told()
			if !strings.HasPrefix(told, "HTTP/1.1 101 ") {
				t.Errorf("the client is told\n%s", told)
			}
			if c.answers != "" && strings.Contains(told, "\r\n"+c.answers+"\r\n") != c.passes {
				t.Errorf("the client gets %q: %t, want %t", c.answers, !c.passes, c.passes)
			}
		})
	}
}

// fieldsOf returns no field for an empty line.
func fieldsOf(line string) []string {
	if line == "" {
		return nil
	}
	return []string{line}
}

// A subprotocol that nobody asked for is said once, and not which it is.
func TestUnaskedSubprotocolIsLoggedOnce(t *testing.T) {
	const warning = "that its client did not ask for"
	w := newWaiting(t)
	for i, answers := range []string{"A: b", "Sec-WebSocket-Protocol: asked", "Sec-WebSocket-Protocol: s3cret", "Sec-WebSocket-Protocol: s3cret"} {
		w.client.sendsString(wire.Request("Sec-WebSocket-Protocol: asked"))
		w.upstreamAnswers(w.upstreamReads(answers))
		if got, want := strings.Count(w.log.String(), warning), min(1, max(0, i-1)); got != want {
			t.Errorf("after %q the log has %d warnings, want %d", answers, got, want)
		}
		w.client = w.connects()
	}
	if strings.Contains(w.log.String(), "s3cret") {
		t.Error("the log has the subprotocol, which may be a secret")
	}
	w.counts(map[string]float64{"sessions_opened_total": 4})
}

// The upstream has a time of its own for its answer, and a client that waits for it has
// used up none of its own.
func TestUpstreamTakesItsTime(t *testing.T) {
	const limit = 60 * time.Second
	w := newWaiting(t)
	w.client.sendsString(wire.Request())
	answer := w.upstreamReads()
	w.pass(limit - time.Second)
	w.upstreamAnswers(answer)
	w.wantsSession(nil)

	late := newWaiting(t)
	late.client.sendsString(wire.Request())
	answer = late.upstreamReads()
	late.upstreamAnswers(answer[:len(answer)/2]) // bytes do not extend the time
	late.pass(limit)
	if got := late.client.told(); !strings.HasPrefix(got, "HTTP/1.1 504 ") {
		t.Errorf("the client is told %.40q", got)
	}
	late.counts(map[string]float64{"handshakes_total{timeout}": 1})
}

// Without compression the upstream is offered none, and may not answer with any.
func TestNoCompression(t *testing.T) {
	const deflate = "Sec-WebSocket-Extensions: permessage-deflate"
	for off, status := range map[bool]string{false: "HTTP/1.1 101 ", true: "HTTP/1.1 502 "} {
		w := newWaiting(t, func(cfg *Config) { cfg.NoCompression = off })
		w.client.sendsString(wire.Request(deflate))
		answer := w.upstreamReads(deflate)
		if offered := w.asked.Header.Get("Sec-WebSocket-Extensions") != ""; offered == off {
			t.Errorf("off: %t, but the upstream is offered compression: %t", off, offered)
		}
		w.upstreamAnswers(answer)
		if got := w.client.told(); !strings.HasPrefix(got, status) {
			t.Errorf("off: %t, but the client is told %.40q, want %q", off, got, status)
		}
	}
}

// A target that ends three handshakes in a row before it answers is avoided until it begins
// an answer. A client that leaves says nothing about the target.
func TestTargetThatBreaksOffBeforeItAnswers(t *testing.T) {
	w := newWaiting(t)
	target := w.l.server.oneTarget()
	defer target.Leave()
	tries := func(said string, why string, want bool) {
		t.Helper()
		w.client.sendsString(wire.Request())
		w.upstreamReads()
		if said != "" {
			w.upstreamAnswers(said)
		}
		w.upstream.Close()
		w.run()
		if got := target.Avoided(); got != want {
			t.Errorf("%s: it is avoided: %v, want %v", why, got, want)
		}
		w.client = w.connects()
	}
	tries("", "once", false)
	tries("", "twice", false)
	tries("H", "an answer has begun", false)
	tries("", "once more", false)
	tries("", "twice in a row", false)
	for range 3 {
		w.client.sendsString(wire.Request())
		w.upstreamReads()
		w.client.hangsUp()
		w.client = w.connects()
	}
	if target.Avoided() {
		t.Error("clients have left, and the target is avoided")
	}
	tries("", "three times in a row", true)
	tries(wire.Head("HTTP/1.1 403 Forbidden", "Content-Length: 0"), "it refuses", false)
}

// What cannot become an answer is not awaited any longer: it may have no line's end.
func TestUpstreamThatDoesNotSpeakHTTP(t *testing.T) {
	for said, why := range map[string]string{
		"\x15\x03\x01\x00\x02\x02\x46": "it is TLS; write wss://",
		"SSH-":                         "the status line is not HTTP/1.x",
		"HTTP/2":                       "the status line is not HTTP/1.x",
		"\r\nHTTP":                     "the status line is not HTTP/1.x",
	} {
		w := newWaiting(t)
		w.client.sendsString(wire.Request())
		w.upstreamReads()
		w.upstreamAnswers(said)
		if got := w.client.told(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("after %q the client is told %.40q", said, got)
		}
		if !strings.Contains(w.log.String(), why) {
			t.Errorf("after %q the log does not say %q:\n%s", said, why, w.log.String())
		}
		w.counts(map[string]float64{"handshakes_total{upstream_invalid}": 1})
	}
}
