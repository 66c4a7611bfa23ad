package admin

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The log has the address of each operator that changes something. It has refusals too, but
// one line in some time.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		s := testServer(Config{Token: secret, Log: slog.New(slog.NewTextHandler(&said, nil))})
		wants := func(line string) {
			t.Helper()
			_, got, _ := strings.Cut(strings.TrimSpace(said.String()), " ") // behind the time
			if got != line {
				t.Errorf("the log says %q, want %q", got, line)
			}
			said.Reset()
		}
		refused := func(path string) {
			t.Helper()
			r := local("POST", path)
			r.RemoteAddr = "192.0.2.7:5"
			if got := s.ask(r); got.Code != 401 {
				t.Errorf("answered %d, want 401", got.Code)
			}
		}

		s.ask(local("POST", "/api/drain"))
		wants(`level=INFO msg="an operator asks" client=127.0.0.1:40000 method=POST path=/api/drain`)
		s.ask(local("GET", "/readyz"))
		s.ask(local("GET", "/api/upstreams"))
		wants("")

		refused("/api/drain")
		wants(`level=WARN msg="a request for a change was refused" client=192.0.2.7:5 method=POST path=/api/drain authorization=false left_out=0`)
		refused("/api/drain")
		time.Sleep(refusalEvery - time.Nanosecond)
		refused("/api/drain")
		wants("")
		time.Sleep(time.Nanosecond)
		refused("/api/upstreams/" + strings.Repeat("x", 2*maxLogged) + "/drain")
		wants(`level=WARN msg="a request for a change was refused" client=192.0.2.7:5 method=POST path=/api/upstreams/` +
			strings.Repeat("x", maxLogged-len(upstreamPaths)) + ` authorization=false left_out=2`)
	})
}
