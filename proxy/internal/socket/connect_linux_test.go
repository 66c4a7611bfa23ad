package socket

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TCP makes a connection of a socket and itself, if it gets the port that it is to
// connect to for its own: to a program it looks like any other.
func TestConnectionToItself(t *testing.T) {
	fd := inetSocket(t)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name := nameOf(t, fd)
	if err := unix.Connect(fd, name); err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	if err := Connected(fd); err != nil {
		t.Fatalf("it does not even connect: %v", err)
	}
	port := uint16(name.(*unix.SockaddrInet4).Port)
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		at := Endpoint{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(host), port)}
		if err := notItself(fd, at); !errors.Is(err, ErrItself) {
			t.Errorf("asked for %v: %v, want %v", at.AddrPort, err, ErrItself)
		}
	}
	for _, other := range []string{"127.0.0.2", "192.0.2.1", "::1"} {
		if err := notItself(fd, Endpoint{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(other), port)}); err != nil {
			t.Errorf("the same port of %s: %v", other, err)
		}
	}
	other, err := Connect(listening(t), Options{})
	if err != nil {
		t.Fatalf("a connection to somebody else: %v", err)
	}
	_ = Close(other) // nothing is in it
}

// Without an address of a family nothing of that family can be reached, which is
// no lack of ports. The other tests of it need a network of their own: see
// TestNetworkOfItsOwn of package proxy.
func TestNoPortOrNoAddress(t *testing.T) {
	err := whyNotAvailable(listening(t))
	if !errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, ErrNoSource) {
		t.Errorf("an address that this host can reach, and no port is left: %v", err)
	}
}

// listening is where a listener can be reached.
func listening(t *testing.T) Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return Endpoint{AddrPort: ln.Addr().(*net.TCPAddr).AddrPort()}
}

func inetSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func nameOf(t *testing.T, fd int) unix.Sockaddr {
	t.Helper()
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return name
}
