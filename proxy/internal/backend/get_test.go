package backend

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/proxy/internal/field"
)

// servedTarget returns the target of a service on this host that is checked in that way.
func servedTarget(t *testing.T, scheme string, at net.Addr, health Health) *Target {
	t.Helper()
	cfg := configOf(t, scheme+"://"+at.String())
	cfg.Upstreams[0].TLS = trusting
	cfg.Upstreams[0].HealthHost = "service.example"
	cfg.Health = health
	return newPool(t, cfg).backends[0].all()[0]
}

func TestPathThatIsChecked(t *testing.T) {
	schemes := serverEnds()
	answer := func(head string) func(net.Conn) {
		return func(conn net.Conn) { _, _ = io.WriteString(conn, head+"\r\n\r\n") }
	}
	for name, test := range map[string]struct {
		service func(net.Conn)
		want    string // of the error; empty: it works
	}{
		"works":            {answer("HTTP/1.1 204 No Content"), ""},
		"works, is old":    {answer("HTTP/1.0 200 OK"), ""},
		"moved":            {answer("HTTP/1.1 302 Found\r\nLocation: /login"), ""},
		"body that comes":  {answer("HTTP/1.1 200 OK\r\nContent-Length: 1000"), ""},
		"hint":             {answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK"), ""},
		"does not work":    {answer("HTTP/1.1 503 Service Unavailable"), "get /health?full: its status is 503"},
		"no such path":     {answer("HTTP/1.1 404 Not Found"), "its status is 404"},
		"upgrades":         {answer("HTTP/1.1 101 Switching Protocols"), "its status is 101"},
		"speaks otherwise": {answer("220 mail.example"), "malformed response: the status line is not HTTP/1.x and a status"},
		"ends":             {func(net.Conn) {}, "EOF"},
		"too much":         {answer("HTTP/1.1 200 OK\r\nX-Field: " + strings.Repeat("a", 2<<10)), "response head is larger than HOLDFAST_MAX_HEADER_SIZE"},
		"a long line":      {answer("HTTP/1.1 " + strings.Repeat("a", 900)), "malformed response: the status line is not HTTP/1.x and a status"},
		"hints for ever":   {answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100) + "HTTP/1.1 200 OK"), ""},
		"silent":           {func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, "i/o timeout"},
	} {
		for scheme, wraps := range schemes {
			t.Run(scheme+", "+name, func(t *testing.T) {
				patience := time.Minute
				if name == "silent" {
					patience = 10 * time.Millisecond
				}
				listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
				served := make(chan string, 1)
				go func() {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					conn = wraps(conn)
					defer conn.Close()
					head := make([]byte, 1<<10)
					n, _ := conn.Read(head)
					served <- string(head[:n])
					test.service(conn)
				}()
				target := servedTarget(t, scheme, listener.Addr(), Health{
					Path: "/health?full", Header: field.Fields{{Name: "X-Key", Value: "k"}},
					AnswerTimeout: patience, MaxHeaderSize: 1 << 10,
				})
				err := target.probe()
				if err == nil != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("the check says %v, want %q", err, test.want)
				}
				if err != nil && len(err.Error()) > 200 {
					t.Errorf("the error quotes the service at length: %v", err)
				}
				const request = "GET /health?full HTTP/1.1\r\nHost: service.example\r\nUser-Agent: holdfast\r\nX-Key: k\r\nConnection: close\r\n\r\n"
				if got := <-served; got != request {
					t.Errorf("the service is asked %q, want %q", got, request)
				}
				if out := outcomeOf(err); err != nil && out != Unreachable && out != Unanswered {
					t.Errorf("%v has the outcome %d: it must count as a failure", err, out)
				}
			})
		}
	}
}

// A path that cannot be had makes a target down that accepts connections.
func TestTargetIsDownByItsPath(t *testing.T) {
	var status atomic.Int32
	status.Store(http.StatusOK)
	listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
	service := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })}
	ended := make(chan error, 1)
	go func() { ended <- service.Serve(listener) }()
	defer func() {
		service.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	address := listener.Addr().String()
	r := newRig(t, []string{"ws://" + address}, func(cfg *Config) {
		cfg.Upstreams[0].HealthHost = "service.example"
		cfg.Health = Health{Interval: time.Second, Path: "/", AnswerTimeout: time.Minute, MaxHeaderSize: 1 << 10}
		cfg.DialTimeout = time.Minute
		cfg.Probe = nil
	})
	r.wantsUp("it works", address, true)
	status.Store(http.StatusInternalServerError)
	r.passes(1100 * time.Millisecond)
	r.target(address).Learn(nil)
	r.wantsUp("one check has failed", address, true)
	r.passes(time.Second)
	r.wantsUp("two checks have failed, and a dial between them says nothing of the path", address, false)
	r.wantsLines("it is down", 1, "upstream is down", "its status is 500")
	r.target(address).Learn(nil)
	r.wantsUp("a dial says nothing of the path", address, false)
	status.Store(http.StatusOK)
	r.passes(time.Second)
	r.wantsUp("it works again", address, true)
}
