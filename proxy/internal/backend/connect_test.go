package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fixture"
)

// trusting is a configuration that takes any certificate.
func trusting() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// targetAt returns the only target of an upstream.
func targetAt(t *testing.T, cfg Config) *Target {
	t.Helper()
	return newPool(t, cfg).backends[0].all()[0]
}

// serverEnds returns for each scheme how a service wraps a connection that it has accepted.
func serverEnds() map[string]func(net.Conn) net.Conn {
	certificate := fixture.SelfSigned("127.0.0.1", fixture.Soon())
	return map[string]func(net.Conn) net.Conn{
		"ws": func(conn net.Conn) net.Conn { return conn },
		"wss": func(conn net.Conn) net.Conn {
			return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
		},
	}
}

func TestConnect(t *testing.T) {
	for scheme, wraps := range serverEnds() {
		listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn = wraps(conn)
			defer conn.Close()
			_, _ = io.WriteString(conn, "hello")
		}()
		cfg := configOf(t, scheme+"://"+listener.Addr().String())
		cfg.Upstreams[0].TLS = trusting
		conn, err := targetAt(t, cfg).Connect(t.Context(), time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		if got, err := io.ReadAll(conn); string(got) != "hello" {
			t.Errorf("%s: the service says %q, %v", scheme, got, err)
		}
		conn.Close()
	}
}

func TestConnectThatFails(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	deaf := fixture.Deaf(t).String()
	silent := fixture.Listen(t, "tcp", "127.0.0.1:0").Addr().String()
	for name, test := range map[string]struct {
		upstream string
		ctx      context.Context
		limit    time.Duration
		want     Outcome
		text     string
	}{
		"refused":           {"ws://" + fixture.Unused(t).String(), t.Context(), time.Minute, Unreachable, "connection refused"},
		"no answer":         {"ws://" + deaf, t.Context(), 10 * time.Millisecond, Unanswered, ErrTimeout.Error()},
		"no TLS":            {"wss://" + silent, t.Context(), 10 * time.Millisecond, Unanswered, "connected, but no TLS in time"},
		"the client left":   {"ws://" + deaf, gone, time.Minute, GivenUp, "canceled"},
		"no unix socket":    {"unix://" + filepath.Join(t.TempDir(), "none"), t.Context(), time.Minute, Unreachable, "no such file"},
		"a full unix queue": {"unix://" + fullQueue(t), t.Context(), 3 * queueFullPause, Unanswered, ErrTimeout.Error()},
	} {
		cfg := configOf(t, test.upstream)
		cfg.Upstreams[0].TLS = trusting
		conn, err := targetAt(t, cfg).Connect(test.ctx, test.limit)
		if conn != nil || outcomeOf(err) != test.want || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v with the outcome %d, want one with %q and %d", name, err, outcomeOf(err), test.text, test.want)
		}
	}
}

// fullQueue returns the path of a unix socket whose queue has no room.
func fullQueue(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "full")
	listener := unixSocket(t)
	at := &unix.SockaddrUnix{Name: path}
	if err := errors.Join(unix.Bind(listener, at), unix.Listen(listener, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		switch err := unix.Connect(unixSocket(t), at); err {
		case nil:
		case unix.EAGAIN:
			return path
		default:
			t.Fatal(err)
		}
	}
}

// unixSocket returns a unix socket that does not block.
func unixSocket(t *testing.T) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// duplicate returns another descriptor of a socket.
func duplicate(t *testing.T, fd int) int {
	t.Helper()
	another, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return another
}

// A dial waits for room in the queue of a unix socket.
func TestConnectWaitsForRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	fd := unixSocket(t)
	at := &unix.SockaddrUnix{Name: path}
	if err := errors.Join(unix.Bind(fd, at), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for unix.Connect(unixSocket(t), at) == nil {
	}
	file := os.NewFile(uintptr(duplicate(t, fd)), path)
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connected := make(chan error)
	go func() {
		conn, err := targetAt(t, configOf(t, "unix://"+path)).Connect(t.Context(), time.Minute)
		if err == nil {
			err = conn.Close()
		}
		connected <- err
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	if err := <-connected; err != nil {
		t.Errorf("the queue has room now, and the dial ends with %v", err)
	}
}
