package proxy_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// inside tells this process that it is the one with a network of its own.
const inside = "TEST_HAS_ITS_OWN_NETWORK"

// The kernel's choice of local ports is the network's. So TestOnePort runs in a
// process that has a network of its own.
func TestNetworkOfItsOwn(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestOnePort$", "-test.v", fmt.Sprintf("-tls=%v", *overTLS))
	child.Env = append(os.Environ(), inside+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	said, err := child.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		t.Skip("this system does not let us have a network of our own:", err)
	}
	if err != nil {
		t.Errorf("%v:\n%s", err, said)
	}
}

// theOnlyPort is the one that the kernel gives to connections.
const theOnlyPort = 61000

// TestOnePort dials where the kernel has one port to give.
func TestOnePort(t *testing.T) {
	if os.Getenv(inside) == "" {
		t.Skip("it is run by TestNetworkOfItsOwn")
	}
	raiseLoopback(t)
	sysctl(t, "net/ipv4/ip_local_port_range", "61000 61000")
	sysctl(t, "net/ipv6/conf/all/disable_ipv6", "1")
	for name, ask := range map[string]string{"page": page, "session": wire.Request()} {
		t.Run(name, func(t *testing.T) {
			t.Run("the connection reaches itself", func(t *testing.T) {
				r := newNarrowRig(t, nil)
				r.service.Close() // which has had the port that the dial gets
				for range 3 {
					r.wantsAnswered(ask, http.StatusBadGateway)
				}
				if r.server.UpstreamUp() {
					t.Error("the upstream is up, though what was reached is the proxy itself")
				}
			})
			t.Run("no port is left", func(t *testing.T) {
				r := newNarrowRig(t, nil)
				for range 3 {
					r.wantsAnswered(ask, http.StatusServiceUnavailable)
				}
				if !r.server.UpstreamUp() {
					t.Error("the upstream is down though it was never asked")
				}
			})
			t.Run("no address of the family", func(t *testing.T) {
				r := newNarrowRig(t, func(cfg *proxy.Config) { cfg.Upstreams[0].URL.Host = "[::1]:80" })
				for range 3 {
					r.wantsAnswered(ask, http.StatusBadGateway)
				}
				if r.server.UpstreamUp() {
					t.Error("the upstream is up though no connection to it can be made")
				}
			})
		})
	}
}

// newNarrowRig is a rig whose clients need no port. Its upstream has the only one.
func newNarrowRig(t *testing.T, change func(*proxy.Config)) *rig {
	t.Helper()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Listen = "unix:" + filepath.Join(t.TempDir(), "s")
		if change != nil {
			change(cfg)
		}
	})
	if port := r.service.Addr().(*net.TCPAddr).Port; port != theOnlyPort {
		t.Fatalf("the kernel has other ports to give: %d", port)
	}
	return r
}

func (r *rig) wantsAnswered(what string, status int) {
	r.t.Helper()
	conn, err := net.Dial("unix", r.server.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	client := newPeer(r.t, "client", secured(r, conn.(*net.UnixConn)))
	client.sendsString(what)
	client.wantsStatus("asked for "+what[:10], status)
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil && !os.IsNotExist(err) {
		t.Fatal(err) // what is not there need not be taken away
	}
}

func raiseLoopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}
