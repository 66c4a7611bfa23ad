package backend

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/fixture"
	"holdfast/metrics"
	"holdfast/proxy/internal/field"
)

// newBackend makes a Backend at a time that stands still.
func newBackend(t *testing.T, address string, changes ...func(*Config)) *Backend {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		URL:         at,
		DialTimeout: time.Minute,
		Clock:       func() heartbeat.Time { return heartbeat.Time(time.Hour) },
		Beside:      func(job func()) { go job() },
		After:       func(time.Duration, func()) {},
		Log:         slog.New(slog.DiscardHandler),
		Metrics:     metrics.New("test"),
	}
	for _, change := range changes {
		change(&cfg)
	}
	b, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// isUp is what the backend's gauge says.
func isUp(t *testing.T, b *Backend) bool {
	t.Helper()
	families, err := b.cfg.Metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "holdfast_upstream_up" {
			return f.GetMetric()[0].GetGauge().GetValue() == 1
		}
	}
	t.Fatal("there is no gauge")
	return false
}

// A ward is a Backend whose checks the test runs, at a time that the test sets. The
// backend's name resolves while exists says so. Whether something listens at the address
// is the test's business.
type ward struct {
	*Backend
	t      *testing.T
	now    atomic.Int64
	exists atomic.Bool
	plans  chan plan // checks that were asked for
	log    fixture.Transcript
}

// A plan is a check that was asked for.
type plan struct {
	after time.Duration
	check func()
}

func newWard(t *testing.T, service net.Addr, health Health) *ward {
	t.Helper()
	w := &ward{t: t, plans: make(chan plan, 10)}
	w.now.Store(int64(time.Hour))
	w.exists.Store(true)
	at := netip.MustParseAddrPort(service.String())
	w.Backend = newBackend(t, "ws://service.example:"+strconv.Itoa(int(at.Port())), func(cfg *Config) {
		cfg.Health = health
		cfg.Clock = func() heartbeat.Time { return heartbeat.Time(w.now.Load()) }
		cfg.After = func(d time.Duration, check func()) { w.plans <- plan{d, check} }
		cfg.Log = slog.New(slog.NewTextHandler(&w.log, nil))
		cfg.Find = func(context.Context, string) ([]netip.Addr, error) {
			if w.exists.Load() {
				return []netip.Addr{at.Addr()}, nil
			}
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		}
	})
	return w
}

// wantsPlan waits for a check to be asked for, and wants it after that time.
func (w *ward) wantsPlan(why string, after time.Duration) plan {
	w.t.Helper()
	p := <-w.plans // the test's own timeout bounds this
	if p.after != after {
		w.t.Errorf("%s: the next check is after %v, want %v", why, p.after, after)
	}
	return p
}

// passes lets the time of a plan pass, and runs its check.
func (w *ward) passes(p plan) {
	w.now.Add(int64(p.after))
	p.check()
}

func (w *ward) wantsUp(why string, up bool) {
	w.t.Helper()
	if w.Up() != up || isUp(w.t, w.Backend) != up {
		w.t.Errorf("%s: up is %v and its gauge %v, want %v", why, w.Up(), isUp(w.t, w.Backend), up)
	}
	select {
	case p := <-w.plans:
		w.t.Errorf("%s: a second check is planned, after %v", why, p.after)
	default:
	}
}

// wantsLines wants so many lines with that text in the log.
func (w *ward) wantsLines(text string, n int) {
	w.t.Helper()
	if got := strings.Count(w.log.String(), text); got != n {
		w.t.Errorf("the log says %d times %q, want %d:\n%s", got, text, n, w.log.String())
	}
}

var errRefused = os.NewSyscallError("connect", unix.ECONNREFUSED)

// A proxy with a wrong upstream is not ready, even if no client comes.
func TestUpstreamIsDownUntilACheckWorks(t *testing.T) {
	w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Interval: 10 * time.Second})
	w.exists.Store(false)
	w.wantsUp("nothing is known", false)
	w.Watch()
	next := w.wantsPlan("the name does not resolve", recheck)
	w.wantsUp("the name does not resolve", false)
	w.wantsLines("upstream is down", 1)
	w.wantsLines("no such host", 1)
	w.passes(next)
	next = w.wantsPlan("still not", recheck)
	w.wantsLines("upstream is down", 1)
	w.exists.Store(true)
	w.passes(next)
	w.wantsPlan("it works", 10*time.Second)
	w.wantsUp("it works", true)
	w.wantsLines("upstream is up", 1)
}

// An upstream to which nobody connects is found to be down, and up again.
func TestIdleUpstreamIsChecked(t *testing.T) {
	w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Interval: 10 * time.Second})
	w.Watch()
	next := w.wantsPlan("it works", 10*time.Second)
	w.exists.Store(false)
	w.passes(next)
	next = w.wantsPlan("one check has failed", recheck)
	w.wantsUp("one failure may be an accident", true)
	w.passes(next)
	next = w.wantsPlan("two checks have failed", recheck)
	w.wantsUp("two checks have failed", false)
	w.wantsLines("upstream is down", 1)
	w.exists.Store(true)
	w.passes(next)
	next = w.wantsPlan("it works again", 10*time.Second)
	w.wantsUp("it works again", true)

	w.exists.Store(false)
	w.passes(next)
	next = w.wantsPlan("one check has failed", recheck)
	w.exists.Store(true)
	w.passes(next)
	next = w.wantsPlan("it works", 10*time.Second)
	w.exists.Store(false)
	w.passes(next)
	w.wantsPlan("one check has failed", recheck)
	w.wantsUp("the failures were not in a row", true)
}

// A dial that came through says as much as a check.
func TestDialTakesThePlaceOfACheck(t *testing.T) {
	w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Interval: 10 * time.Second})
	w.Watch()
	next := w.wantsPlan("it works", 10*time.Second)
	w.exists.Store(false) // a check would fail
	w.now.Add(int64(7 * time.Second))
	w.Learn(nil)
	w.now.Add(int64(3*time.Second) - int64(next.after))
	w.passes(next)
	next = w.wantsPlan("a dial came through 3 s ago", 7*time.Second)
	w.passes(next)
	w.wantsPlan("now the check was made", recheck)
	w.wantsUp("one check has failed", true)
}

// Three dials in a row that fail make an upstream down, whatever they fail with.
func TestDialsMakeAnUpstreamDown(t *testing.T) {
	noName := &net.DNSError{Err: "no such host", IsNotFound: true}
	for name, errs := range map[string][3]error{
		"refused":  {errRefused, errRefused, errRefused},
		"no name":  {noName, noName, noName},
		"no time":  {ErrTimeout, ErrTimeout, ErrTimeout},
		"mixed":    {errRefused, noName, ErrTimeout},
		"no proof": {errRefused, errRefused, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Interval: -1})
			w.Watch()
			w.wantsUp("there is nothing against it", true)
			w.Learn(errRefused)
			w.Learn(errRefused)
			w.Learn(nil)
			w.Learn(errs[0])
			w.Learn(errs[1])
			w.wantsUp("two dials in a row have failed", true)
			w.Learn(errs[2])
			if errs[2] == context.Canceled {
				w.wantsUp("a client that left says nothing", true)
				return
			}
			next := w.wantsPlan("three dials have failed", recheck)
			w.wantsUp("three dials have failed", false)
			w.Learn(errs[2])
			w.wantsUp("and a fourth", false)
			w.wantsLines("upstream is down", 1)
			w.passes(next)
			w.wantsUp("a check has found it", true)
			w.Learn(errs[0])
			w.wantsUp("it counts anew", true)
		})
	}
}

// Without an interval there is one check at the start, until it works.
func TestNoActiveChecks(t *testing.T) {
	w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{})
	w.exists.Store(false)
	w.Watch()
	next := w.wantsPlan("it fails", recheck)
	w.wantsUp("it fails", false)
	w.exists.Store(true)
	w.passes(next)
	w.wantsUp("it works, and no other check is planned", true)
}

// A dial brings an upstream back at once, but not if its path says otherwise.
func TestDialBringsAnUpstreamBack(t *testing.T) {
	for path, want := range map[string]bool{"": true, "/health": false} {
		w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Path: path})
		for range dialsUntilDown {
			w.Learn(errRefused)
		}
		w.wantsPlan("it is down", recheck)
		w.Learn(nil)
		w.wantsUp("path "+path, want)
	}
}

// A lack on this host says nothing of the upstream, so the check is made again.
func TestCheckThatThisHostCannotMake(t *testing.T) {
	w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Interval: 10 * time.Second})
	w.setUp(true)
	for range 3 {
		if next := w.checked(Unprovided, unix.EMFILE); next != recheck {
			t.Errorf("the next check is after %v, want %v", next, recheck)
		}
	}
	w.wantsUp("no descriptor is left", true)
}

// A check that panics is followed by another.
func TestCheckThatPanics(t *testing.T) {
	w := newWard(t, fixture.Listen(t, "tcp", "127.0.0.1:0").Addr(), Health{Interval: 10 * time.Second})
	w.setUp(true)
	w.ended = panickingContext{w.ended}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		w.check()
	}()
	w.wantsPlan("the check has panicked", recheck)
	w.wantsUp("the check has panicked", true)
}

type panickingContext struct{ context.Context }

func (panickingContext) Deadline() (time.Time, bool) { panic("in the check") }

func TestPathThatIsChecked(t *testing.T) {
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
		t.Run(name, func(t *testing.T) {
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
				defer conn.Close()
				head := make([]byte, 1<<10)
				n, _ := conn.Read(head)
				served <- string(head[:n])
				test.service(conn)
			}()
			w := newWard(t, listener.Addr(), Health{
				Path: "/health?full", Host: "service.example", Header: field.Fields{{Name: "X-Key", Value: "k"}},
				AnswerTimeout: patience, MaxHeaderSize: 1 << 10,
			})
			err := w.tryOut()
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

// A path that cannot be had makes an upstream down that accepts connections.
func TestUpstreamIsDownByItsPath(t *testing.T) {
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
	w := newWard(t, listener.Addr(), Health{Interval: time.Second, Path: "/", Host: "x", AnswerTimeout: time.Minute, MaxHeaderSize: 1 << 10})
	w.Watch()
	next := w.wantsPlan("it works", time.Second)
	status.Store(http.StatusInternalServerError)
	w.passes(next)
	w.Learn(nil) // says nothing against the path
	next = w.wantsPlan("once", time.Second)
	w.wantsUp("once", true)
	w.passes(next)
	next = w.wantsPlan("twice", time.Second)
	w.wantsUp("twice", false)
	w.wantsLines("its status is 500", 1)
	w.Learn(nil)
	w.wantsUp("a dial says nothing of the path", false)
	status.Store(http.StatusOK)
	w.passes(next)
	w.wantsPlan("it works", time.Second)
	w.wantsUp("it works", true)
}
