package activation

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/fixture"
)

func TestPassedSockets(t *testing.T) {
	for _, tc := range []struct {
		name    string
		environ string // blanks in between
		want    []string
		err     string
	}{
		{"two", "LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=a:b", []string{"a", "b"}, ""},
		{"a name twice", "LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=a:a", []string{"a", "a"}, ""},
		{"no names", "LISTEN_PID=7 LISTEN_FDS=2", []string{"unknown", "unknown"}, ""},
		{"no socket", "LISTEN_PID=7 LISTEN_FDS=0", []string{}, ""},
		{"no systemd", "PATH=/bin", nil, "needs a socket from systemd, which passed none; start the socket unit"},
		{"another process", "LISTEN_PID=6 LISTEN_FDS=1", nil,
			`needs a socket from systemd, but systemd passed its sockets to process LISTEN_PID="6", and this is process 7; start Holdfast without another program in between`},
		{"no process", "LISTEN_FDS=1", nil,
			`needs a socket from systemd, but systemd passed its sockets to process LISTEN_PID="", and this is process 7; start Holdfast without another program in between`},
		{"no number", "LISTEN_PID=7 LISTEN_FDS=-1", nil, `needs a socket from systemd, but LISTEN_FDS="-1" is not a number of sockets; start the socket unit`},
		{"too few names", "LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=a", nil,
			`needs a socket from systemd, but LISTEN_FDNAMES="a" does not name LISTEN_FDS=2 sockets; start the socket unit`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := passedSockets(strings.Fields(tc.environ), 7)
			if !slices.Equal(got, tc.want) || textOf(err) != tc.err {
				t.Errorf("got  %q, %v\nwant %q, %s", got, err, tc.want, tc.err)
			}
		})
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOnlySocket(t *testing.T) {
	names := []string{"a", "b", "a"}
	if i, err := onlySocket("b", names); i != 1 || err != nil {
		t.Errorf("b is %d, %v, want 1", i, err)
	}
	for name, want := range map[string]string{
		"a": "names more than one of the sockets that systemd passed; give each socket its own unit with its own FileDescriptorName",
		"c": `is not among the sockets that systemd passed, "a:b:a"; set FileDescriptorName in the socket unit`,
	} {
		if _, err := onlySocket(name, names); textOf(err) != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

func TestCheckListening(t *testing.T) {
	tcp, unixSocket := fixture.Listen(t, "tcp", "127.0.0.1:0"), fixture.Listen(t, "unix", t.TempDir()+"/a.sock")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	connected, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	for _, tc := range []struct {
		name   string
		socket any
		want   string
	}{
		{"TCP", tcp, ""},
		{"unix", unixSocket, ""},
		{"UDP", udp, "is not a stream socket; use ListenStream in the socket unit"},
		{"a connection", connected, "does not listen; set Accept=no in the socket unit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := fixture.File(t, tc.socket)
			if err := checkListening(int(file.Fd())); textOf(err) != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := checkListening(int(file.Fd())); err == nil || !strings.Contains(err.Error(), "which is not a socket") {
		t.Errorf("a file that is no socket: got %v", err)
	}
}

func TestCheckListeningOnMPTCP(t *testing.T) {
	const protocol = 262 // IPPROTO_MPTCP
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, protocol)
	if err != nil {
		t.Skipf("the kernel has no MPTCP: %v", err)
	}
	defer syscall.Close(fd)
	if err := syscall.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	const want = "is a socket of a protocol other than TCP; remove SocketProtocol from the socket unit"
	if err := checkListening(fd); textOf(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	for _, tc := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"unix", path}} {
		listener := fixture.Listen(t, tc.network, tc.address)
		want := listener.Addr().String()
		if tc.network == "unix" {
			want = "unix:" + path
		}
		file := fixture.File(t, listener)
		if got, err := Address(file); err != nil || got != want {
			t.Errorf("%s listens on %q, %v", want, got, err)
		}
	}
	everywhere := fixture.Listen(t, "tcp", ":0")
	if at, err := Address(fixture.File(t, everywhere)); err != nil || at != everywhere.Addr().String() {
		t.Errorf("%v listens on %q, %v", everywhere.Addr(), at, err)
	}
}
