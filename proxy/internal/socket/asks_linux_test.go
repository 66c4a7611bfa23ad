package socket

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair makes two connected, non-blocking sockets of a family.
func pair(t *testing.T, family string) (a, b int) {
	t.Helper()
	if family == "unix" {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
		return fds[0], fds[1]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return descriptor(t, dialed), descriptor(t, accepted)
}

func descriptor(t *testing.T, c net.Conn) int {
	t.Helper()
	file, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	t.Cleanup(func() { file.Close() })
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(os.NewSyscallError("fcntl", err))
	}
	return fd
}

// fill writes until the socket takes no more.
func fill(t *testing.T, fd int) (written int) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		n, err := unix.Write(fd, b)
		if err == unix.EAGAIN {
			return written
		}
		if err != nil {
			t.Fatal(err)
		}
		written += n
	}
}

// drain reads all that there is.
func drain(t *testing.T, fd int) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		if _, err := unix.Read(fd, b); err != nil {
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			return
		}
	}
}

// What is written is with the peer, or it is not acknowledged.
func TestBytesAreSomewhere(t *testing.T) {
	a, b := pair(t, "tcp")
	if Unacked(a) != 0 || Unsent(a) != 0 || Unread(b) != 0 {
		t.Fatalf("before a byte: %d unacknowledged, %d unsent, %d unread", Unacked(a), Unsent(a), Unread(b))
	}
	written := fill(t, a)
	for tries := 0; Unread(b)+Unacked(a) != written; tries++ { // an acknowledgement may be under way
		if tries == 1_000_000 {
			t.Fatalf("%d bytes written, %d unread and %d not acknowledged", written, Unread(b), Unacked(a))
		}
	}
	if Unacked(a) == 0 || Unsent(a) == 0 || Unsent(a) > Unacked(a) {
		t.Errorf("%d unacknowledged, %d of them unsent; want some of both", Unacked(a), Unsent(a))
	}
	for Unacked(a) > 0 || Unread(b) > 0 {
		drain(t, b)
	}
}

func TestAgeOfTheLastData(t *testing.T) {
	a, b := pair(t, "tcp")
	if _, err := unix.Write(a, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for Unread(b) == 0 {
		runtime.Gosched()
	}
	for LastACKs(b).Data < 20*time.Millisecond { // it grows while nothing comes, though the byte lies unread
		runtime.Gosched()
	}
	if _, err := unix.Write(a, []byte("y")); err != nil {
		t.Fatal(err)
	}
	for LastACKs(b).Data >= 20*time.Millisecond {
		runtime.Gosched()
	}
}

func TestUnixSocket(t *testing.T) {
	a, b := pair(t, "unix")
	written := fill(t, a)
	if Unread(b) != written || Unacked(a) < written || Unsent(a) != Unacked(a) {
		t.Errorf("%d bytes written, %d unread, %d unacknowledged, %d unsent", written, Unread(b), Unacked(a), Unsent(a))
	}
	drain(t, b)
	if Unacked(a) != 0 {
		t.Errorf("%d bytes are not acknowledged of those that were read", Unacked(a))
	}
	if got := LastACKs(a); got != (ACKs{}) {
		t.Errorf("a unix socket tells of %+v", got)
	}
}

func TestClosedDescriptorTellsNothing(t *testing.T) {
	const none = -1
	if Unacked(none) != 0 || Unsent(none) != 0 || Unread(none) != 0 || LastACKs(none) != (ACKs{}) {
		t.Error("a descriptor that is not there tells something")
	}
}
