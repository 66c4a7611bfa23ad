package proxy_test

import (
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// Both legs over unix sockets: what the proxy makes it removes, and nothing else.
func TestUnixSockets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, servicePath := filepath.Join(dir, "holdfast.sock"), filepath.Join(dir, "service.sock")
	service, err := net.ListenUnix("unix", &net.UnixAddr{Name: servicePath})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	leaveStale(t, path)

	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Listen = "unix:" + path
		cfg.Upstreams[0].URL = &url.URL{Scheme: "unix", Path: servicePath}
	})
	r.tls.upstream = false
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := newPeer(t, "client", secured(r, conn.(*net.UnixConn)))
	client.sendsString(wire.Request())
	far, err := service.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	upstream := newPeer(t, "upstream", far)
	asked := upstream.wantsRequest()
	if got := asked.Header.Get("X-Forwarded-For"); got != "" {
		t.Errorf("X-Forwarded-For is %q for a client that has no address", got)
	}
	upstream.sendsString(wire.Answer(asked))
	client.wantsSwitch()
	client.sends(wire.Text("hello"))
	upstream.wants("over unix sockets", wire.Text("hello"))

	if other, err := proxy.New(proxy.Config{
		Listen: "unix:" + path, Upstreams: []proxy.Upstream{{URL: &url.URL{Scheme: "unix", Path: servicePath}}}, Log: slog.New(slog.DiscardHandler), Metrics: r.metrics,
	}); err == nil {
		_, _ = other.Shutdown(t.Context(), proxy.Stop{Timeout: patience})
		t.Error("a socket that somebody listens on was taken away from them")
	}
	conn.Close()
	far.Close()
	r.wantsNoSessions()
	if cut := r.shutdown(patience); cut != 0 {
		t.Errorf("%d sessions were cut", cut)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// A socket that another process has put in the place of ours stays.
func TestUnixSocketOfAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "holdfast.sock")
	r := newRig(t, func(cfg *proxy.Config) { cfg.Listen = "unix:" + path })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r.shutdown(patience)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the socket of another was removed: %v", err)
	}
	conn.Close()
}

// leaveStale leaves the socket of a process that is gone.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// A listening socket that somebody else made, as systemd does.
func TestListenFile(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := newRig(t, func(cfg *proxy.Config) { cfg.ListenFile, cfg.Listen = file, "systemd:holdfast" })
	if r.server.Addr().String() != l.Addr().String() {
		t.Errorf("listens on %v, want %v", r.server.Addr(), l.Addr())
	}
	client, upstream := r.opens()
	client.sends(wire.Text("hello"))
	upstream.wants("through a socket that was given", wire.Text("hello"))
}

// The file of a socket has the mode that was asked for, whatever the umask is, or that of
// the umask.
func TestUnixSocketMode(t *testing.T) {
	umask := syscall.Umask(0o027) // other tests of this package make no files meanwhile
	defer syscall.Umask(umask)
	for mode, want := range map[fs.FileMode]fs.FileMode{0: 0o750, 0o660: 0o660, 0o600: 0o600, 0o777: 0o777} {
		path := filepath.Join(t.TempDir(), "holdfast.sock")
		r := newRig(t, func(cfg *proxy.Config) {
			cfg.Listen, cfg.ListenMode = "unix:"+path, mode
		})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("asked for mode %#o the socket has %#o, want %#o", mode, got, want)
		}
		r.shutdown(patience)
	}
}
