package notify

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listens opens a manager's socket.
func listens(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// wants reads the next datagram. It waits for it without a limit: the test's own is enough.
func wants(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	b := make([]byte, 1024)
	n, err := conn.Read(b)
	if got := string(b[:n]); err != nil || got != want {
		t.Errorf("the manager got %q, %v; want %q", got, err, want)
	}
}

func manager(t *testing.T, environ ...string) *Manager {
	m := New(environ, 7)
	t.Cleanup(m.Close)
	return m
}

func TestADatagramForEachSend(t *testing.T) {
	abstract := "@holdfast-test-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format(time.RFC3339Nano)
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), abstract} {
		conn := listens(t, address)
		m := manager(t, "NOTIFY_SOCKET="+address)
		if err := m.Send(Ready, Status("3 sessions\nand more")); err != nil {
			t.Error(err)
		}
		if err := m.Send(Stopping); err != nil {
			t.Error(err)
		}
		wants(t, conn, "READY=1\nSTATUS=3 sessions and more")
		wants(t, conn, "STOPPING=1")
	}
}

// A manager that is started again makes its socket anew.
func TestTheManagerStartsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	first := listens(t, path)
	m := manager(t, "NOTIFY_SOCKET="+path)
	if err := m.Send(Ready); err != nil {
		t.Fatal(err)
	}
	wants(t, first, "READY=1")
	first.Close()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := m.Send(Beat); err == nil {
		t.Error("a manager that is gone was told")
	}
	second := listens(t, path)
	if err := m.Send(Beat); err != nil {
		t.Fatal(err)
	}
	wants(t, second, "WATCHDOG=1")
}

// A manager that does not read cannot hold the process.
func TestTheManagerDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	listens(t, path)
	m := manager(t, "NOTIFY_SOCKET="+path)
	m.patience = 50 * time.Millisecond
	for {
		if err := m.Send(Beat); err != nil {
			if !os.IsTimeout(err) {
				t.Error(err)
			}
			return
		}
	}
}

func TestWithoutAManager(t *testing.T) {
	m := manager(t, "WATCHDOG_USEC=1000000")
	if m.Present() || m.Watchdog() != 0 {
		t.Errorf("there is a manager: %v, with a watchdog of %v", m.Present(), m.Watchdog())
	}
	if err := m.Send(Ready); err != nil {
		t.Error(err)
	}
}

func TestWatchdog(t *testing.T) {
	for environ, want := range map[string]time.Duration{
		"":                                   0,
		"WATCHDOG_USEC=30000000":             30 * time.Second,
		"WATCHDOG_USEC=500 WATCHDOG_PID=7":   500 * time.Microsecond,
		"WATCHDOG_USEC=500 WATCHDOG_PID=8":   0,
		"WATCHDOG_USEC=0":                    0,
		"WATCHDOG_USEC=-1":                   0,
		"WATCHDOG_USEC=soon":                 0,
		"WATCHDOG_USEC=9223372036854775807":  0, // more than a Duration holds
		"WATCHDOG_USEC=99223372036854775807": 0,
	} {
		m := manager(t, append(strings.Fields(environ), "NOTIFY_SOCKET=/absent")...)
		if got := m.Watchdog(); got != want {
			t.Errorf("%s: %v, want %v", environ, got, want)
		}
	}
}

// The time is that of the clock that systemd compares it with.
func TestReloadingTellsTheTime(t *testing.T) {
	clock := func() int64 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			t.Fatal(err)
		}
		return now.Nano() / 1000
	}
	before, got, after := clock(), Reloading(), clock()
	digits := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=([0-9]+)$`).FindStringSubmatch(got)
	if digits == nil {
		t.Fatalf("it says %q", got)
	}
	micros, err := time.ParseDuration(digits[1] + "us")
	if err != nil || micros.Microseconds() < before || micros.Microseconds() > after {
		t.Errorf("%q is not between %d and %d, %v", got, before, after, err)
	}
}
