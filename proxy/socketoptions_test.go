package proxy

import (
	"cmp"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// What the kernel is told follows from the timeouts, for both kinds of legs: those
// that are accepted inherit the listener's.
func TestSocketOptions(t *testing.T) {
	unasked := defaultProbes(t)
	rules := func(interval, timeout time.Duration) heartbeat.Rules {
		return heartbeat.Rules{Interval: interval, Timeout: timeout}
	}
	for _, tt := range []struct {
		client, upstream heartbeat.Rules
		userTimeout      time.Duration
		backoff          int // milliseconds
		keepAlive        int // seconds
		probes           int // 0: the kernel's default
	}{
		{rules(20*time.Second, 20*time.Second), rules(20*time.Second, 20*time.Second), time.Minute, 4000, 40, 0},
		{rules(20*time.Second, 10*time.Second), rules(time.Minute, time.Minute), time.Minute, 2000, 120, 0},
		{rules(time.Second, time.Second), rules(0, time.Second), time.Minute, 1000, 2, 0},
		{rules(time.Second, time.Second), rules(0, time.Second), 0, 1000, 2, 4},
		{rules(time.Millisecond, 0), rules(0, 0), 0, 5000, 1, 4},
		{rules(0, 0), rules(0, 0), time.Minute, 5000, 0, 0},
		{rules(0, 0), rules(0, 0), 0, 5000, 0, 0},
		{rules(1000*time.Hour, 0), rules(0, 0), time.Minute, 5000, 32767, 0},
	} {
		cfg := testConfig()
		cfg.Client, cfg.UpstreamSide, cfg.TCPUserTimeout = tt.client, tt.upstream, tt.userTimeout
		accepted, dialed := connected(t, &cfg)
		for name, fd := range map[string]int{"accepted": accepted, "dialed": dialed} {
			wantsOption(t, name, fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			wantsOption(t, name, fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(tt.userTimeout/time.Millisecond))
			wantsOption(t, name, fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, tt.backoff)
			wantsOption(t, name, fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, min(1, tt.keepAlive))
			if tt.keepAlive > 0 {
				wantsOption(t, name, fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, tt.keepAlive)
				wantsOption(t, name, fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(1, tt.keepAlive/4))
			}
			wantsOption(t, name, fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, cmp.Or(tt.probes, unasked))
		}
	}
}

// defaultProbes is the kernel's own count of unanswered probes.
func defaultProbes(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	probes, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
	if err != nil {
		t.Fatal(err)
	}
	return probes
}

// A socket that is closed with bytes still to be sent keeps the kernel's own
// patience: with a bound on its waits it would be reset at the first closed window.
func TestClosedSocketIsPatient(t *testing.T) {
	cfg := testConfig()
	for name, leaves := range map[string]func(bare) error{
		"closed": bare.Close,
		"detached": func(s bare) error {
			conn, err := s.Detach()
			if err == nil {
				err = conn.Close()
			}
			return err
		},
	} {
		accepted, _ := connected(t, &cfg)
		leaving, err := unix.FcntlInt(uintptr(accepted), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fills(accepted)
		wantsOption(t, name+": before", accepted, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, 4000)
		if err := leaves(bare(leaving)); err != nil {
			t.Fatal(err)
		}
		wantsOption(t, name+": after", accepted, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, 120_000)
	}
}

// A leg asks its own socket what has not been sent and acknowledged.
func TestLegKnowsWhatIsOnTheWay(t *testing.T) {
	cfg := testConfig()
	accepted, _ := connected(t, &cfg)
	leg := bare(accepted)
	if n := leg.Unacked() + leg.Unsent(); n != 0 {
		t.Errorf("before anything is written %d bytes are on the way", n)
	}
	fills(accepted)
	if all, unsent := leg.Unacked(), leg.Unsent(); unsent <= 0 || all < unsent {
		t.Errorf("to a peer that does not read %d bytes are on the way, %d of them not sent", all, unsent)
	}
}

// fills writes until the socket takes no more.
func fills(fd int) {
	for b := make([]byte, 1<<20); ; {
		if _, err := unix.Write(fd, b); err != nil {
			return
		}
	}
}

// connected makes a connection to the proxy, and one from it.
func connected(t *testing.T, cfg *Config) (accepted, dialed int) {
	t.Helper()
	ln, err := listen(cfg, cfg.socketOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ln.close)
	to := netip.MustParseAddrPort(ln.addr.(*net.TCPAddr).String())
	dialed, err = socket.Connect(socket.Endpoint{AddrPort: to}, cfg.socketOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close(dialed) })
	if _, err := socket.Send(dialed, []byte("x"), false); err != nil { // the last ACK of TCP's handshake goes with it
		t.Fatal(err)
	}
	if accepted, _, err = socket.Accept(ln.fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close(accepted) })
	return accepted, dialed
}

func wantsOption(t *testing.T, name string, fd, level, option, want int) {
	t.Helper()
	got, err := unix.GetsockoptInt(fd, level, option)
	if err == unix.ENOPROTOOPT && option == unix.TCP_RTO_MAX_MS {
		return // a kernel before 6.15 goes without
	}
	if err != nil || got != want {
		t.Errorf("%s: option %d of level %d is %d, %v, want %d", name, option, level, got, err, want)
	}
}
