package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/admin"
	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

// shutdown is a Shutdown as a test wants it.
type shutdown func(ctx context.Context) (cut int, err error)

// The stops of the daemons in these tests.
var (
	slowly = proxy.Stop{Delay: 5 * time.Second, Spread: 20 * time.Second, Timeout: 30 * time.Second}
	atOnce = proxy.AtOnce(4 * time.Second)
)

// fakeProxy ends when it is shut down, or with fails.
type fakeProxy struct {
	fails    error // what Run returns at once
	shutdown shutdown
	draining atomic.Bool
	drained  []proxy.Stop  // how it was drained without an end
	over     chan struct{} // closed by a test when that drain is over; nil: it never is
	stopped  proxy.Stop    // how it was shut down
	ended    chan struct{}
}

func (p *fakeProxy) Run() error {
	if p.fails == nil {
		<-p.ended
	}
	return p.fails
}

func (p *fakeProxy) Shutdown(ctx context.Context, how proxy.Stop) (int, error) {
	p.draining.Store(true)
	p.stopped = how
	defer close(p.ended)
	return p.shutdown(ctx)
}

func (p *fakeProxy) Drain(how proxy.Stop) {
	p.draining.Store(true)
	p.drained = append(p.drained, how)
}

func (p *fakeProxy) Drained() <-chan struct{}      { return p.over }
func (p *fakeProxy) Accepts() bool                 { return true }
func (p *fakeProxy) PlacesTaken() int              { return 0 }
func (p *fakeProxy) DrainLeft() time.Duration      { return 12*time.Second - 1 }
func (p *fakeProxy) Draining() bool                { return p.draining.Load() }
func (p *fakeProxy) Sessions() int                 { return 2 }
func (p *fakeProxy) UpstreamUp() bool              { return true }
func (p *fakeProxy) Targets() []proxy.TargetStatus { return nil }

func (p *fakeProxy) Handshakes() int    { return 0 }
func (p *fakeProxy) SessionsLimit() int { return 9 }

func (p *fakeProxy) SessionList(context.Context, proxy.SessionQuery) (l proxy.SessionList, err error) {
	return l, nil
}
func (p *fakeProxy) CloseSession(context.Context, uint64) (s proxy.SessionStatus, found bool, err error) {
	return s, false, nil
}

func (p *fakeProxy) DrainTargets(_, _ string, _ time.Duration) bool { return false }
func (p *fakeProxy) ResumeTargets(_, _ string) bool                 { return false }

func TestRun(t *testing.T) {
	cuts := func(n int) shutdown {
		return func(context.Context) (int, error) { return n, nil }
	}
	cutsWhenTold := func(n int, err error) shutdown {
		return func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return n, err
		}
	}
	term, interrupt := syscall.SIGTERM, syscall.SIGINT
	for _, tc := range []struct {
		name     string
		fails    error
		shutdown shutdown
		signals  []os.Signal
		want     bool
	}{
		{"all sessions closed", nil, cuts(0), []os.Signal{term}, true},
		{"all sessions closed, from the keyboard", nil, cuts(0), []os.Signal{interrupt}, true},
		{"a session was cut", nil, cuts(1), []os.Signal{term}, false},
		{"cut by a second signal", nil, cutsWhenTold(2, nil), []os.Signal{term, term}, false},
		{"cut by a second, other signal", nil, cutsWhenTold(2, context.Canceled), []os.Signal{term, interrupt}, false},
		{"nothing left to cut", nil, cutsWhenTold(0, nil), []os.Signal{interrupt, interrupt}, true},
		{"the proxy failed", errors.New("epoll: no such thing"), nil, nil, false},
		{"the shutdown failed", nil, func(context.Context) (int, error) { return 0, errors.New("no") }, []os.Signal{term}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signals := make(chan os.Signal, 2)
			for _, s := range tc.signals {
				signals <- s
			}
			server := &fakeProxy{fails: tc.fails, shutdown: tc.shutdown, ended: make(chan struct{})}
			d := &Daemon{proxy: server, log: slog.New(slog.DiscardHandler), term: slowly, interrupt: atOnce}
			if got := d.Run(signals, nil); got != tc.want {
				t.Errorf("ended well: %v, want %v", got, tc.want)
			}
			var how proxy.Stop
			if len(tc.signals) > 0 {
				how = map[os.Signal]proxy.Stop{term: slowly, interrupt: atOnce}[tc.signals[0]]
			}
			if server.stopped != how {
				t.Errorf("it was shut down as %+v, want %+v", server.stopped, how)
			}
		})
	}
}

// While sessions are being ended the admin listener says so, and afterwards it is gone.
func TestAdminWhileDraining(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String() + "/readyz"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	server := &fakeProxy{ended: make(chan struct{})}
	server.shutdown = func(context.Context) (int, error) {
		answer, err := client.Get(url)
		if err != nil {
			t.Error(err)
			return 0, nil
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		if want := `{"ready":false,"draining":true,"upstream_up":true,"sessions":2,"upstreams":[]}` + "\n"; answer.StatusCode != 503 || string(body) != want {
			t.Errorf("while draining: %d %s, want 503 %s", answer.StatusCode, body, want)
		}
		return 0, nil
	}
	log := slog.New(slog.DiscardHandler)
	d := &Daemon{
		proxy:         server,
		admin:         admin.NewServer(admin.Config{Proxy: server, Metrics: http.NotFoundHandler(), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}),
		adminListener: listener,
		book:          status.New("test", metrics.New("test").Snapshot, time.Now()),
		log:           log,
	}
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if !d.Run(signals, nil) {
		t.Error("it failed")
	}
	if answer, err := client.Get(url); err == nil {
		answer.Body.Close()
		t.Error("the admin listener outlives the proxy")
	}
}

// A panic on the admin listener ends its request, and is counted.
func TestAdminPanics(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newAdmin(admin.Config{}, metrics.New("test"), slog.New(slog.DiscardHandler)) // there is no proxy to ask
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + listener.Addr().String()
	if answer, err := client.Head(url + "/readyz"); err == nil {
		answer.Body.Close()
		t.Errorf("/readyz is answered with %s", answer.Status)
	}
	answer, err := client.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "\nholdfast_panics_total 1\n") {
		t.Errorf("the panic is not counted:\n%s", body)
	}
	server.Close()
	<-ended
}
