package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"holdfast/internal/admin"
)

// shutdown is a Shutdown as a test wants it.
type shutdown func(ctx context.Context) (cut int, err error)

// fakeProxy ends when it is shut down, or with fails.
type fakeProxy struct {
	fails    error // what Run returns at once
	shutdown shutdown
	draining atomic.Bool
	ended    chan struct{}
}

func (p *fakeProxy) Run() error {
	if p.fails == nil {
		<-p.ended
	}
	return p.fails
}

func (p *fakeProxy) Shutdown(ctx context.Context) (int, error) {
	p.draining.Store(true)
	defer close(p.ended)
	return p.shutdown(ctx)
}

func (p *fakeProxy) Draining() bool   { return p.draining.Load() }
func (p *fakeProxy) Sessions() int    { return 2 }
func (p *fakeProxy) UpstreamUp() bool { return true }

func TestExitCodes(t *testing.T) {
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
		want     int
	}{
		{"all sessions closed", nil, cuts(0), []os.Signal{term}, 0},
		{"all sessions closed, from the keyboard", nil, cuts(0), []os.Signal{interrupt}, 0},
		{"a session was cut", nil, cuts(1), []os.Signal{term}, 1},
		{"cut by a second signal", nil, cutsWhenTold(2, nil), []os.Signal{term, term}, 1},
		{"cut by a second, other signal", nil, cutsWhenTold(2, context.Canceled), []os.Signal{term, interrupt}, 1},
		{"nothing left to cut", nil, cutsWhenTold(0, nil), []os.Signal{interrupt, interrupt}, 0},
		{"the proxy failed", errors.New("epoll: no such thing"), nil, nil, 1},
		{"the shutdown failed", nil, func(context.Context) (int, error) { return 0, errors.New("no") }, []os.Signal{term}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signals := make(chan os.Signal, 2)
			for _, s := range tc.signals {
				signals <- s
			}
			server := &fakeProxy{fails: tc.fails, shutdown: tc.shutdown, ended: make(chan struct{})}
			d := &daemon{proxy: server, log: slog.New(slog.DiscardHandler)}
			if got := d.run(signals, nil); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
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
		if want := `{"ready":false,"draining":true,"upstream_up":true,"sessions":2}` + "\n"; answer.StatusCode != 503 || string(body) != want {
			t.Errorf("while draining: %d %s, want 503 %s", answer.StatusCode, body, want)
		}
		return 0, nil
	}
	log := slog.New(slog.DiscardHandler)
	d := &daemon{
		proxy:         server,
		admin:         admin.NewServer(admin.Config{Proxy: server, Metrics: http.NotFoundHandler(), Log: log}),
		adminListener: listener,
		log:           log,
	}
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if code := d.run(signals, nil); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	if answer, err := client.Get(url); err == nil {
		answer.Body.Close()
		t.Error("the admin listener outlives the proxy")
	}
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, variables := range [][2]string{
		{"HOLDFAST_LISTEN", "HOLDFAST_ADMIN_LISTEN"},
		{"HOLDFAST_ADMIN_LISTEN", "HOLDFAST_LISTEN"},
	} {
		o := holdfast([]string{someUpstream, "HOLDFAST_LOG_FORMAT=text",
			variables[0] + "=" + taken.Addr().String(), variables[1] + "=127.0.0.1:0"})
		o.wants(t, exitFailed, "", variables[0]+": listen tcp "+taken.Addr().String()+": bind: address already in use")
	}
}

// served is a run of the whole program whose log is read line by line.
type served struct {
	t     *testing.T
	lines *bufio.Scanner
	exit  chan int
}

func startServe(t *testing.T, environ ...string) *served {
	t.Helper()
	reader, stderr := io.Pipe()
	s := &served{t: t, lines: bufio.NewScanner(reader), exit: make(chan int, 1)}
	environ = append([]string{"HOLDFAST_LISTEN=127.0.0.1:0", "HOLDFAST_ADMIN_LISTEN=127.0.0.1:0", "HOLDFAST_LOG_FORMAT=text"}, environ...)
	go func() {
		defer stderr.Close()
		s.exit <- run(nil, environ, io.Discard, stderr)
	}()
	return s
}

// logs waits for a line with all of that in it, and returns it.
func (s *served) logs(want ...string) string {
	s.t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		if !slices.ContainsFunc(want, func(part string) bool { return !strings.Contains(line, part) }) {
			return line
		}
	}
	s.t.Fatalf("the log ended without a line with %q", want)
	return ""
}

func (s *served) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		s.t.Fatal(err)
	}
}

// ends has the program end in the usual way.
func (s *served) ends() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.logs("msg=draining", "signal=terminated")
	s.logs(`msg="holdfast ends"`, "cut=0")
	if got := <-s.exit; got != exitOK {
		s.t.Errorf("exit code %d, want %d", got, exitOK)
	}
}

// valueOf is an attribute's value in a line of text.
func valueOf(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// The whole program, from its first log line to its last, ended by a signal.
func TestServe(t *testing.T) {
	p := startServe(t, someUpstream)
	p.logs(`msg="holdfast starts"`, "version=", "listen=127.0.0.1:", "tls=false", "upstream=ws://localhost:9000", "admin=127.0.0.1:")
	p.signal(syscall.SIGHUP)
	p.logs("level=INFO", "there are none to read again")
	p.ends()
}

func TestServeOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holdfast.sock")
	p := startServe(t, someUpstream, "HOLDFAST_LISTEN=unix:"+path)
	p.logs(`msg="holdfast starts"`, "listen="+path, "tls=false")
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	p.ends()
}

// The sockets of others are not taken away, and what is no socket is not removed.
func TestUnixSocketInTheWay(t *testing.T) {
	file := write(t, "holdfast.sock", "")
	taken := filepath.Join(t.TempDir(), "taken.sock")
	listen(t, "unix", taken)
	for _, path := range []string{file, taken} {
		holdfast([]string{someUpstream, "HOLDFAST_LISTEN=unix:" + path, "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_LOG_FORMAT=text"}).
			wants(t, exitFailed, "", "HOLDFAST_LISTEN: listen unix "+path+": bind: address already in use")
	}
}

func TestServeWarnsOfTheUserTimeout(t *testing.T) {
	p := startServe(t, someUpstream, "HOLDFAST_TCP_USER_TIMEOUT=3s")
	p.logs("level=WARN", "HOLDFAST_TCP_USER_TIMEOUT", "HOLDFAST_WRITE_TIMEOUT=30s")
	p.ends()
}
