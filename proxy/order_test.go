package proxy

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

var (
	first  = socket.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:80")}
	second = socket.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.2:80")}
	third  = socket.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.3:80")}
)

func TestOrderOfAddresses(t *testing.T) {
	const now = heartbeat.Time(time.Hour)
	all := []socket.Endpoint{first, second, third}
	tests := []struct {
		why    string
		before func(*failures)
		at     heartbeat.Time
		want   []socket.Endpoint
	}{
		{"nothing is known", func(*failures) {}, now, all},
		{"the failed one is tried last", func(f *failures) { f.failed(first, now) }, now, []socket.Endpoint{second, third, first}},
		{"those that failed keep their order", func(f *failures) { f.failed(second, now); f.failed(first, now) }, now, []socket.Endpoint{third, first, second}},
		{"all have failed", func(f *failures) { f.failed(third, now); f.failed(second, now); f.failed(first, now) }, now, all},
		{"it is still remembered", func(f *failures) { f.failed(first, now) }, now.Add(lastFor - 1), []socket.Endpoint{second, third, first}},
		{"its time is over", func(f *failures) { f.failed(first, now) }, now.Add(lastFor), all},
		{"it has failed again", func(f *failures) { f.failed(first, now); f.failed(first, now.Add(time.Second)) }, now.Add(lastFor), []socket.Endpoint{second, third, first}},
		{"it has worked since", func(f *failures) { f.failed(first, now); f.worked(first) }, now, all},
		{"the name has lost and regained it", func(f *failures) { f.failed(first, now); f.keep(all[1:]) }, now, all},
		{"the name has kept it", func(f *failures) { f.failed(first, now); f.keep(all[:2]) }, now, []socket.Endpoint{second, third, first}},
	}
	for _, test := range tests {
		var f failures
		test.before(&f)
		if got := f.order(all, test.at); !slices.Equal(got, test.want) {
			t.Errorf("%s: the order is %v, want %v", test.why, got, test.want)
		}
	}
	if !slices.Equal(all, []socket.Endpoint{first, second, third}) {
		t.Errorf("the backend's own list has become %v", all)
	}
}

// When the time of a dead address is over, one dial tries it, and the others do
// not pay for that.
func TestOneDialTriesADeadAddress(t *testing.T) {
	const now = heartbeat.Time(time.Hour)
	var f failures
	f.failed(first, now)
	later := now.Add(lastFor)
	all := []socket.Endpoint{first, second}
	if got := f.order(all, later); got[0] != first {
		t.Errorf("the first dial tries %v, want the one that has failed", got)
	}
	if got := f.order(all, later); got[0] != second {
		t.Errorf("another dial tries %v, want the one that works", got)
	}
	f.worked(first)
	if got := f.order(all, later); got[0] != first {
		t.Errorf("when it works again a dial tries %v", got)
	}
}

// Handshakes and those beside the loops share what is known of the addresses.
func TestDeadAddressCostsOneHandshake(t *testing.T) {
	st := newStage(t, nil)
	dead, alive := deafAddress(t), listening(t)
	b := st.server.backend
	b.addrs = []socket.Endpoint{dead, {AddrPort: alive.Addr().(*net.TCPAddr).AddrPort()}}
	waiting := func() int { return pendingDials(st, dead) }

	st.knocks()
	if waiting() != 1 {
		t.Fatal("the first address is not tried first")
	}
	st.pass(st.server.cfg.DialTimeout / 2)
	alive.wantsDial("the first address has had its share")

	st.knocks()
	alive.wantsDial("the first address is known to be dead")
	conn, err := b.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	alive.wantsDial("a page knows what handshakes have learnt")

	st.pass(lastFor)
	st.knocks()
	if waiting() != 1 {
		t.Fatal("the first address is not tried any more")
	}
	st.knocks()
	alive.wantsDial("one tries the first address for all")
	if waiting() != 1 {
		t.Error("more than one try the dead address")
	}
}

// pendingDials is how many handshakes wait for an address to answer.
func pendingDials(st *stage, to socket.Endpoint) (n int) {
	st.l.table.all(func(s *session) {
		if o := s.opening; o != nil && o.state == dialing && o.dial.to == to {
			n++
		}
	})
	return n
}

type testListener struct {
	*net.TCPListener
	t *testing.T
}

func listening(t *testing.T) testListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return testListener{ln, t}
}

// wantsDial accepts a connection, which must be there.
func (ln testListener) wantsDial(why string) {
	ln.t.Helper()
	_ = ln.SetDeadline(time.Now().Add(10 * time.Second)) // it is open
	conn, err := ln.Accept()
	if err != nil {
		ln.t.Fatalf("%s: %v", why, err)
	}
	conn.Close()
}

// deafAddress is that of a listener whose queue is full: the kernel drops every
// SYN.
func deafAddress(t *testing.T) socket.Endpoint {
	t.Helper()
	ln := inetSocket(t)
	if err := unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(ln, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a queue of none holds one
		if err := unix.Connect(inetSocket(t), nameOf(t, ln)); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	at := nameOf(t, ln).(*unix.SockaddrInet4)
	return socket.Endpoint{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))}
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
