package command

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheck(t *testing.T) {
	status, body := http.StatusOK, "{}"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	address := strings.TrimPrefix(server.URL, "http://")
	// An upstream that is missing or wrong does not concern this command.
	environ := []string{"HOLDFAST_ADMIN_LISTEN=" + address, "HOLDFAST_UPSTREAM=nonsense"}

	holdfast(environ, "healthcheck").wants(t, exitOK, "", "")
	for _, tc := range []struct {
		status     int
		body, want string
	}{
		{503, `{"ready":false,"draining":true,"upstream_up":false,"sessions":2}`, "it is draining and takes no new clients"},
		{503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":2}`, "the upstream is down; `holdfast check -connect` says more"},
		{503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":2,"upstreams":[]}`, "the upstream is down; `holdfast check -connect` says more"},
		{503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":0,"upstreams":[
			{"name":"a:80","upstream":"ws://a:80","address":"192.0.2.1:80","state":"down","sessions":0,"reason":"dial tcp 192.0.2.1:80: connection refused"},
			{"name":"a:80","upstream":"ws://a:80","address":"192.0.2.2:80","state":"draining","sessions":3},
			{"name":"192.0.2.3:80","upstream":"ws://192.0.2.3:80","address":"192.0.2.3:80","state":"down","sessions":0,"reason":"line\nbreak"}]}`,
			"no upstream can get sessions: ws://a:80 at 192.0.2.1:80 is down (dial tcp 192.0.2.1:80: connection refused), ws://a:80 at 192.0.2.2:80 is draining, " +
				`ws://192.0.2.3:80 is down (line\nbreak); ` + "`holdfast check -connect` says more"},
		{503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":0,"upstreams":[
			{"name":"a:80","upstream":"ws://a:80","address":"192.0.2.1:80","state":"draining","sessions":0},
			{"name":"a:80","upstream":"ws://a:80","address":"192.0.2.2:80","state":"gone","sessions":3}]}`,
			"no upstream can get sessions: ws://a:80 at 192.0.2.1:80 is draining, ws://a:80 at 192.0.2.2:80 is gone; " +
				"an operator can bring one back: POST /api/upstreams/{name}/resume"},
		{503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":0,"upstreams":[
			{"name":"a:80","upstream":"ws://a:80","address":"","state":"down","sessions":0,"reason":"lookup a: no such host"},
			{"name":"b:80","upstream":"ws://b:80","address":"","state":"draining","sessions":0,"reason":"lookup b: no such host"}]}`,
			"no upstream can get sessions: ws://a:80 is down (lookup a: no such host), ws://b:80 is draining (lookup b: no such host); " +
				"`holdfast check -connect` says more"},
		{503, `{"ready":false,"draining":false,"upstream_up":false,"sessions":3,"upstreams":[
			{"name":"a:80","upstream":"ws://a:80","address":"192.0.2.1:80","state":"gone","sessions":3,"reason":"lookup a: no such host"}]}`,
			"no upstream can get sessions: ws://a:80 at 192.0.2.1:80 is gone (lookup a: no such host); `holdfast check -connect` says more"},
		{503, "", "HTTP status 503 Service Unavailable; is it Holdfast that listens at HOLDFAST_ADMIN_LISTEN=" + address + "?"},
		{404, "{}", "HTTP status 404 Not Found; is it Holdfast that listens at HOLDFAST_ADMIN_LISTEN=" + address + "?"},
	} {
		status, body = tc.status, tc.body
		holdfast(environ, "healthcheck").wants(t, exitFailed, "", "holdfast: not ready: "+tc.want+"\n")
	}
	server.Close()
	holdfast(environ, "healthcheck").wants(t, exitFailed, "", "holdfast: no Holdfast answers at HOLDFAST_ADMIN_LISTEN="+address+
		" (dial tcp "+address+": connect: connection refused); is it running, and with the same HOLDFAST_ADMIN_LISTEN?\n")

	holdfast([]string{"HOLDFAST_ADMIN_LISTEN=off"}, "healthcheck").
		wants(t, exitFailed, "", "holdfast: HOLDFAST_ADMIN_LISTEN is off: there is nobody to ask\n")
	holdfast([]string{"HOLDFAST_ADMIN_LISTEN=8081"}, "healthcheck").
		wants(t, exitFailed, "", `holdfast: HOLDFAST_ADMIN_LISTEN="8081" has no colon; write "127.0.0.1:8081"`+"\n")
}

// Package net listens on both families for a wildcard, so 127.0.0.1 is asked: ::1 does not
// exist where IPv6 is switched off.
func TestHealthcheckOfAWildcard(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	port := strings.TrimPrefix(server.URL, "http://127.0.0.1")
	for _, host := range []string{"", "0.0.0.0", "[::]", "[::0]"} {
		holdfast([]string{"HOLDFAST_ADMIN_LISTEN=" + host + port}, "healthcheck").wants(t, exitOK, "", "")
	}
}

// An address with a zone is dialled. Nothing listens there.
func TestHealthcheckOfAnAddressWithAZone(t *testing.T) {
	holdfast([]string{"HOLDFAST_ADMIN_LISTEN=[::1%lo]:1"}, "healthcheck").wants(t, exitFailed, "", "(dial tcp [::1%lo]:1: ")
}
