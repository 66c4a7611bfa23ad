package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/fixture"
	"holdfast/internal/notify"
)

// Turned says that the loops of a fake turn.
func (*fakeProxy) Turned() bool { return true }

// heldProxy is a fake whose loops turn as the test wants it.
type heldProxy struct {
	fakeProxy
	turned atomic.Bool
}

func (p *heldProxy) Turned() bool { return p.turned.Load() }

// A serviceManager is what started the daemon.
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &serviceManager{t, conn, path}
}

// starts returns the manager as the daemon sees it. watchdog is in microseconds.
func (m *serviceManager) starts(watchdog string) *notify.Manager {
	told := notify.New([]string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=" + watchdog}, os.Getpid())
	m.t.Cleanup(told.Close)
	return told
}

// wants reads the next datagram. A time of the clock is left out.
func (m *serviceManager) wants(why, want string) {
	m.t.Helper()
	b := make([]byte, 1024)
	n, err := m.conn.Read(b)
	got := regexp.MustCompile(`USEC=[0-9]+`).ReplaceAllString(string(b[:n]), "USEC=N")
	if err != nil || got != want {
		m.t.Errorf("%s: the manager is told %q, %v; want %q", why, got, err, want)
	}
}

// wantsNothing looks whether a datagram waits.
func (m *serviceManager) wantsNothing(why string) {
	m.t.Helper()
	raw, err := m.conn.SyscallConn()
	if err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 1024)
	var n int
	if ctl := raw.Control(func(fd uintptr) { n, _, err = syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT) }); ctl != nil {
		m.t.Fatal(ctl)
	}
	if !errors.Is(err, syscall.EAGAIN) {
		m.t.Errorf("%s: the manager is told %q, %v", why, b[:max(n, 0)], err)
	}
}

func TestTheManagerIsToldOfALife(t *testing.T) {
	manager := newServiceManager(t)
	server := &fakeProxy{ended: make(chan struct{}), shutdown: func(context.Context) (int, error) { return 0, nil }}
	d := &Daemon{proxy: server, log: slog.New(slog.DiscardHandler), term: slowly, interrupt: atOnce}
	d.Notify(manager.starts(""))
	signals, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	ran := make(chan bool, 1)
	go func() { ran <- d.Run(signals, hangups) }()
	manager.wants("clients can connect", "READY=1\nSTATUS=sessions: 2")
	hangups <- syscall.SIGHUP
	manager.wants("a reload", "RELOADING=1\nMONOTONIC_USEC=N")
	manager.wants("there was nothing to read", "READY=1")
	signals <- syscall.SIGTERM
	manager.wants("a stop", "STOPPING=1")
	if !<-ran {
		t.Error("it failed")
	}
	manager.wantsNothing("it has ended")
}

// The daemon asks the loops at each beat. One that hangs stops the beats.
func TestALoopThatHangsStopsTheBeats(t *testing.T) {
	manager := newServiceManager(t)
	var log fixture.Transcript
	server := &heldProxy{}
	d := &Daemon{proxy: server, log: slog.New(slog.NewTextHandler(&log, nil))}
	d.Notify(manager.starts("30000000"))
	d.tellReady()
	manager.wants("clients can connect", "READY=1\nSTATUS=sessions: 2")
	server.turned.Store(true)
	d.tellNews()
	manager.wants("all turn", "WATCHDOG=1")
	server.turned.Store(false)
	d.tellNews()
	d.tellNews()
	manager.wantsNothing("a loop hangs")
	server.draining.Store(true)
	d.tellNews()
	manager.wants("news without a beat", "STATUS=draining, sessions left: 2")
	server.turned.Store(true)
	d.tellNews()
	manager.wants("all turn again", "WATCHDOG=1")
	for _, line := range []string{"an event loop hangs", "all event loops turn again"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%d lines of the log say %q, want one:\n%s", n, line, log.String())
		}
	}
}

// The beats come by themselves, several in the time that the manager waits for one.
func TestBeats(t *testing.T) {
	manager := newServiceManager(t)
	d := &Daemon{proxy: &fakeProxy{}, log: slog.New(slog.DiscardHandler)}
	const limit = 40 * time.Millisecond
	d.Notify(manager.starts("40000"))
	ctx, cancel := context.WithCancel(t.Context())
	d.told.status = d.status()
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		d.tellManager(ctx)
		close(ended)
	}()
	for range 5 {
		manager.wants("all turn", "WATCHDOG=1")
	}
	if took := time.Since(began); took < 5*limit/beatsInTime {
		t.Errorf("five beats came within %v, want one in %v", took, limit/beatsInTime)
	}
	cancel()
	<-ended
}

// The daemon is ready again when the TLS files of both sides have been read.
func TestTheManagerIsToldWhenAllFilesAreRead(t *testing.T) {
	manager := newServiceManager(t)
	client, upstream := config.Watched{Side: "client"}, config.Watched{Side: "upstream"}
	d := &Daemon{
		proxy:        &fakeProxy{},
		log:          slog.New(slog.DiscardHandler),
		certificates: config.Certificates{Watched: []config.Watched{client, upstream}},
	}
	d.Notify(manager.starts(""))
	d.certificatesRead(client, false, nil)
	manager.wantsNothing("they were read because they had changed")
	d.tellReloading()
	manager.wants("a reload", "RELOADING=1\nMONOTONIC_USEC=N")
	d.certificatesRead(client, false, nil)
	manager.wantsNothing("the files of the other side are still to be read")
	d.certificatesRead(client, false, nil)
	manager.wantsNothing("the same side again")
	d.certificatesRead(upstream, false, nil)
	manager.wants("both are read", "READY=1")
}

// A manager that could not be told that the daemon is ready is told later. It would end the
// process otherwise.
func TestTheManagerIsToldLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	d := &Daemon{proxy: &fakeProxy{}, log: slog.New(slog.DiscardHandler)}
	told := notify.New([]string{"NOTIFY_SOCKET=" + path}, os.Getpid())
	t.Cleanup(told.Close)
	d.Notify(told)
	manager := &serviceManager{t: t, path: path}
	appears := func() {
		t.Helper()
		var err error
		if manager.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path}); err != nil {
			t.Fatal(err)
		}
	}
	d.tellReady()
	d.tellNews()
	appears()
	d.tellNews()
	manager.wants("it is there now", "READY=1\nSTATUS=sessions: 2")
	d.tellNews()
	manager.wantsNothing("it knows all")
	d.tellReloading()
	manager.wants("a reload", "RELOADING=1\nMONOTONIC_USEC=N")
	manager.wants("there was nothing to read", "READY=1")
	manager.conn.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d.tellReloading()
	d.tellStopping()
	appears()
	defer manager.conn.Close()
	d.tellNews()
	manager.wantsNothing("a daemon that stops is not ready")
}

// A manager that cannot be told is in the log once, and nothing else follows.
func TestTheManagerIsGone(t *testing.T) {
	var log fixture.Transcript
	d := &Daemon{proxy: &fakeProxy{}, log: slog.New(slog.NewTextHandler(&log, nil))}
	d.Notify(notify.New([]string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "absent")}, os.Getpid()))
	d.tellReady()
	d.tell(notify.Stopping)
	if n := strings.Count(log.String(), "the service manager cannot be told"); n != 1 {
		t.Errorf("%d lines of the log say that the manager is gone, want one:\n%s", n, log.String())
	}
}
