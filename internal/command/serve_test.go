package command

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/fixture"
)

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, variables := range [][2]string{
		{"HOLDFAST_LISTEN", "HOLDFAST_ADMIN_LISTEN"},
		{"HOLDFAST_ADMIN_LISTEN", "HOLDFAST_LISTEN"},
	} {
		o := holdfast([]string{someUpstream, "HOLDFAST_LOG_FORMAT=text",
			variables[0] + "=" + taken.Addr().String(), variables[1] + "=127.0.0.1:0"})
		o.wants(t, exitFailed, "", variables[0]+": listen tcp "+taken.Addr().String()+": bind: address already in use; another program listens there: stop it, or set another port")
	}
}

// served is a run of the whole program whose log is read line by line.
type served struct {
	t      *testing.T
	stderr io.Closer
	lines  *bufio.Scanner
	exit   chan int
}

func startServe(t *testing.T, environ ...string) *served {
	t.Helper()
	reader, stderr := io.Pipe()
	s := &served{t: t, stderr: reader, lines: bufio.NewScanner(reader), exit: make(chan int, 1)}
	environ = append([]string{"HOLDFAST_LISTEN=127.0.0.1:0", "HOLDFAST_ADMIN_LISTEN=127.0.0.1:0", "HOLDFAST_LOG_FORMAT=text",
		"HOLDFAST_DRAIN_DELAY=0s"}, environ...)
	go func() {
		defer stderr.Close()
		s.exit <- Run(nil, environ, io.Discard, stderr)
	}()
	return s
}

// logPatience is how long a test waits for one line of the log.
const logPatience = 20 * time.Second

// logs waits for a line with all of that in it, and returns it.
func (s *served) logs(want ...string) string {
	s.t.Helper()
	late := time.AfterFunc(logPatience, func() { _ = s.stderr.Close() }) // which ends Scan
	defer late.Stop()
	for s.lines.Scan() {
		line := s.lines.Text()
		if !slices.ContainsFunc(want, func(part string) bool { return !strings.Contains(line, part) }) {
			return line
		}
	}
	s.t.Fatalf("the log ended, or %v passed, without a line with %q", logPatience, want)
	return ""
}

func (s *served) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		s.t.Fatal(err)
	}
}

// ends lets the program end in the usual way.
func (s *served) ends() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.logs("msg=draining", "signal=terminated")
	s.logs(`msg="holdfast ends"`, "cut=0")
	if got := <-s.exit; got != exitOK {
		s.t.Errorf("exit code %d, want %d", got, exitOK)
	}
}

// valueOf is an attribute's value in a line of text.
func valueOf(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// The whole program, from its first log line to its last, ended by a signal.
func TestServe(t *testing.T) {
	p := startServe(t, someUpstream, "HOLDFAST_MAX_SESSIONS=7")
	p.logs(`msg="holdfast starts"`, "version=", "listen=127.0.0.1:", "tls=false", "upstream=ws://localhost:9000", "admin=127.0.0.1:",
		"max_sessions=7 limited_by=HOLDFAST_MAX_SESSIONS")
	p.signal(syscall.SIGHUP)
	p.logs("level=INFO", "there are none to read again")
	p.ends()
}

func TestServeOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holdfast.sock")
	const list = "ws://localhost:9000,unix:/nowhere.sock"
	p := startServe(t, "HOLDFAST_UPSTREAM="+list, "HOLDFAST_LISTEN=unix:"+path)
	p.logs(`msg="holdfast starts"`, "listen=unix:"+path, "tls=false", "upstream="+list)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	p.ends()
}

// The sockets of others are not taken away, and a file that is not a socket is not removed.
func TestUnixSocketInTheWay(t *testing.T) {
	file := fixture.Write(t, "holdfast.sock", "")
	taken := filepath.Join(t.TempDir(), "taken.sock")
	fixture.Listen(t, "unix", taken)
	for path, why := range map[string]string{
		file:                                 "address already in use; a file that is not a socket is there: remove it, or set another path",
		taken:                                "address already in use; another program listens there: stop it, or set another path",
		filepath.Join(taken, "a.sock"):       "not a directory; a part of the path is not a folder: correct it",
		filepath.Join(t.TempDir(), "a", "b"): "no such file or directory; create the folder first, or correct the path",
	} {
		holdfast([]string{someUpstream, "HOLDFAST_LISTEN=unix:" + path, "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_LOG_FORMAT=text"}).
			wants(t, exitFailed, "", "HOLDFAST_LISTEN: listen unix "+path+": bind: "+why)
	}
}

func TestAddressOfAnotherMachine(t *testing.T) {
	holdfast([]string{someUpstream, "HOLDFAST_LISTEN=192.0.2.1:8080", "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_LOG_FORMAT=text"}).
		wants(t, exitFailed, "", "HOLDFAST_LISTEN: listen tcp 192.0.2.1:8080: bind: cannot assign requested address; set an address of this machine")
}

func TestServeWarnsOfTheUserTimeout(t *testing.T) {
	p := startServe(t, someUpstream, "HOLDFAST_TCP_USER_TIMEOUT=3s")
	p.logs("level=WARN", "HOLDFAST_TCP_USER_TIMEOUT", "HOLDFAST_WRITE_TIMEOUT=30s")
	p.ends()
}

// A proxy whose upstream is not there says so before a client comes, to those who read
// its log and to those who ask.
func TestServeWithoutItsUpstream(t *testing.T) {
	p := startServe(t, "HOLDFAST_UPSTREAM=ws://"+fixture.Unused(t).String())
	admin := valueOf(p.logs(`msg="holdfast starts"`), "admin")
	p.logs("level=WARN", `msg="upstream is down`, "connection refused")
	holdfast([]string{"HOLDFAST_ADMIN_LISTEN=" + admin}, "healthcheck").wants(t, exitFailed, "", "not ready: the upstream is down")
	p.ends()
}
