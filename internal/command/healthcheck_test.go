package command

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	address := strings.TrimPrefix(server.URL, "http://")
	// An upstream that is missing or wrong is none of this command's business.
	environ := []string{"HOLDFAST_ADMIN_LISTEN=" + address, "HOLDFAST_UPSTREAM=nonsense"}

	holdfast(environ, "healthcheck").wants(t, exitOK, "", "")
	status = http.StatusServiceUnavailable
	holdfast(environ, "healthcheck").wants(t, exitFailed, "", "holdfast: not ready: 503 Service Unavailable\n")
	server.Close()
	holdfast(environ, "healthcheck").wants(t, exitFailed, "", "connection refused")

	holdfast([]string{"HOLDFAST_ADMIN_LISTEN=off"}, "healthcheck").
		wants(t, exitFailed, "", "holdfast: HOLDFAST_ADMIN_LISTEN is off: there is nobody to ask\n")
	holdfast([]string{"HOLDFAST_ADMIN_LISTEN=8081"}, "healthcheck").
		wants(t, exitFailed, "", `holdfast: HOLDFAST_ADMIN_LISTEN="8081" has no colon; write "127.0.0.1:8081"`+"\n")
}
