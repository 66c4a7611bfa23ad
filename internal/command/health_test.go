package command

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The path of the health check is asked for as the running proxy asks for it: without the
// path of HOLDFAST_UPSTREAM before it, with the same Host and fields, and without the page's
// Origin.
func TestCheckConnectAsksForTheHealthPath(t *testing.T) {
	t.Parallel()
	upgraded := upgrades(t, answers(t))
	mux := http.NewServeMux()
	mux.Handle("/app/chat", upgraded)
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "service.example" || r.Header.Get("X-Key") != "k" || r.Header.Get("Origin") != "" || !r.Close || r.UserAgent() != "holdfast" {
			t.Errorf("the health check is\n%s %v", r.Host, r.Header)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	mux.HandleFunc("/ends", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	stopsAtEnd(t, server)
	const ok = `: upgraded in \S+s, answered a ping in \S+s\n`
	for _, tc := range []struct {
		path           string
		limit          string // of the time for the answer
		code           int
		stdout, stderr string
	}{
		{"/ok", "1m", exitOK, ok + `ws://\S+: HOLDFAST_HEALTH_PATH=/ok is answered with HTTP status 302\n$`, `^$`},
		{"/absent", "1m", exitFailed, ok + `$`,
			`^ws://\S+: HOLDFAST_HEALTH_PATH=/absent is answered with HTTP status 404, and Holdfast would take it for down; it must be 2xx or 3xx: correct the path, or unset it\n$`},
		{"/ends", "1m", exitFailed, ok + `$`,
			`^ws://\S+: HOLDFAST_HEALTH_PATH=/ends is not answered as HTTP has it \(EOF\), and Holdfast would take it for down; correct the path, or unset it\n$`},
		{"/hangs", "500ms", exitFailed, ok + `$`,
			`ws://\S+: HOLDFAST_HEALTH_PATH=/hangs is not answered within HOLDFAST_DIAL_TIMEOUT=500ms, and Holdfast would take it for down; raise that if the service needs longer\n$`},
	} {
		t.Run(tc.path, func(t *testing.T) {
			t.Parallel()
			holdfast([]string{
				"HOLDFAST_UPSTREAM=" + strings.Replace(server.URL, "http", "ws", 1) + "/app", "HOLDFAST_HEALTH_PATH=" + tc.path,
				"HOLDFAST_UPSTREAM_HOST=service.example", "HOLDFAST_UPSTREAM_HEADERS=X-Key=k", "HOLDFAST_DIAL_TIMEOUT=" + tc.limit,
			}, "check", "-connect", "-path", "/chat", "-origin", "https://app.example.com").matches(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}

// Two names of the list may lead to one service.
func TestCheckConnectWarnsOfTwins(t *testing.T) {
	address := service(t, answers(t))
	_, port, _ := net.SplitHostPort(address)
	holdfast([]string{"HOLDFAST_UPSTREAM=ws://127.0.0.1:" + port + ",ws://localhost:" + port}, "check", "-connect").
		matches(t, exitOK, `(?s)^configuration ok\n.*`, `^warning: ws://127\.0\.0\.1:`+port+` and ws://localhost:`+port+
			` lead to the same address, 127\.0\.0\.1:`+port+`, which then counts as two; leave one of them out\n$`)
}
