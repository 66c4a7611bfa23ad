//go:build faults && amd64

package inject

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"holdfast/internal/blackbox"
	"holdfast/internal/fixture"
)

// A setup is one way in which the binary serves.
type setup struct {
	name       string
	secret     bool   // TLS on both legs
	unixSocket bool   // on both legs
	network    string // that clients connect by
}

var setups = []setup{
	{name: "TCP", network: "tcp"},
	{name: "TLS", network: "tcp", secret: true},
	{name: "unix sockets", network: "unix", unixSocket: true},
}

// witnesses is how many sessions must live through every fault. Two loops have two each.
const witnesses = 4

// A rig is the binary between a service, clients and witnesses.
type rig struct {
	*blackbox.Holdfast
	client    client
	admin     client
	witnesses []*witness
	own       descriptors // of the binary, with the witnesses' and nothing else
	spared    []uint64    // the witnesses' sockets, and what the Go runtime has of its own
	runtimes  []uint64    // what the Go runtime has of its own
	polls     []uint64    // all descriptors of epoll
	listeners []uint64    // the admin's and the proxy's
}

// A witness is a session that no fault is about. It is read all the time, so that it
// answers each ping and the Close at its end.
type witness struct {
	net.Conn
	asking sync.Mutex  // echoes come one after the other
	echoes chan string // closed at the end
}

func (w *witness) listens() {
	defer close(w.echoes)
	defer w.Close()
	for {
		message, err := wsutil.ReadServerText(w)
		if err != nil {
			return
		}
		w.echoes <- string(message)
	}
}

// lives wants an echo.
func (w *witness) lives() error {
	w.asking.Lock()
	defer w.asking.Unlock()
	const message = "a witness lives"
	// One write: the goroutine that reads writes pongs.
	if _, err := w.Write(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(message))))); err != nil {
		return err
	}
	select {
	case echo, more := <-w.echoes:
		if !more {
			return errors.New("its session has ended")
		}
		if echo != message {
			return fmt.Errorf("its echo is %q", echo)
		}
		return nil
	case <-time.After(patience):
		return errors.New("it gets no echo")
	}
}

func newRig(t *testing.T, s setup) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "holdfast-") // t.TempDir is too long for a unix socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	settings := []string{
		"HOLDFAST_LISTEN=127.0.0.1:0",
		"HOLDFAST_ADMIN_LISTEN=127.0.0.1:0",
		"HOLDFAST_LOG_FORMAT=json",
		"HOLDFAST_HEALTH_INTERVAL=0", // a check would take a descriptor while they are counted
		"HOLDFAST_PING_INTERVAL=500ms",
		"HOLDFAST_WRITE_TIMEOUT=5s",
		"HOLDFAST_CLOSE_TIMEOUT=1s",
		"HOLDFAST_DRAIN_DELAY=0s",
		"HOLDFAST_DRAIN_SPREAD=0s",
		"HOLDFAST_HANDSHAKE_TIMEOUT=2s",
		"HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=2s",
		"HOLDFAST_DIAL_TIMEOUT=1s",
		"HOLDFAST_HTTP_TIMEOUT=2s",
	}
	network, address, scheme := "tcp", "127.0.0.1:0", "ws://"
	if s.unixSocket {
		network, address, scheme = "unix", filepath.Join(dir, "service"), "unix:"
		settings = append(settings, "HOLDFAST_LISTEN=unix:"+filepath.Join(dir, "proxy"))
	}
	listener := fixture.Listen(t, network, address)
	r := &rig{}
	r.client.network, r.client.holds = s.network, r.holds
	if s.secret {
		certificate := fixture.SelfSigned("127.0.0.1", fixture.Soon())
		cert, key := fixture.PEM(certificate)
		certFile, keyFile := fixture.Write(t, "cert.pem", cert), fixture.Write(t, "key.pem", key)
		settings = append(settings, "HOLDFAST_TLS_CERT_FILE="+certFile, "HOLDFAST_TLS_KEY_FILE="+keyFile, "HOLDFAST_UPSTREAM_TLS_CA_FILE="+certFile)
		listener, scheme = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}}), "wss://"
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(cert))
		r.client.tls = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	}
	service := &http.Server{Handler: http.HandlerFunc(serveEcho), ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = service.Serve(listener) // it ends with the test
	}()
	t.Cleanup(func() { service.Close(); <-served })

	cmd := exec.Command(binary)
	cmd.Env = append(settings, "HOLDFAST_UPSTREAM="+scheme+listener.Addr().String())
	r.Holdfast = blackbox.NewHoldfast(blackbox.Start(t, "holdfast", cmd, patience), nil)
	r.hasStarted()
	r.opensWitnesses()
	return r
}

// hasStarted waits for the line that says where the proxy listens, and until it serves.
func (r *rig) hasStarted() {
	r.T.Helper()
	var line struct{ Listen, Admin string }
	r.Until("a line that says where it listens", func() bool {
		first, _, _ := strings.Cut(r.Stderr.String(), "\n")
		return json.Unmarshal([]byte(first), &line) == nil && line.Listen != ""
	})
	r.client.address = strings.TrimPrefix(line.Listen, "unix:")
	r.admin = client{network: "tcp", address: line.Admin}
	r.Admin = "http://" + line.Admin
	r.Until("it is ready", r.IsReady)
}

// opensWitnesses opens the witnesses and learns which descriptors are theirs.
func (r *rig) opensWitnesses() {
	r.T.Helper()
	for range witnesses {
		conn, err := r.client.open(context.Background(), echoPath)
		if err != nil {
			r.T.Fatal("a witness: ", err)
		}
		conn.SetDeadline(time.Time{})
		w := &witness{Conn: conn, echoes: make(chan string)}
		go w.listens()
		r.T.Cleanup(func() {
			w.Close()
			for range w.echoes { // until it has ended
			}
		})
		r.witnesses = append(r.witnesses, w)
	}
	r.wantsWitnesses()
	var sockets []uint64
	r.Until("it has the listeners' sockets and the witnesses'", func() bool {
		r.own = r.descriptors()
		sockets = r.own.of("socket:")
		return len(sockets) == 2+2*witnesses
	})
	r.polls = r.own.of("anon_inode:[eventpoll]")
	r.listeners = sockets[:2] // they were opened before any connection
	r.runtimes = []uint64{r.polls[0], r.own.of("anon_inode:[eventfd]")[0]}
	r.spared = append(sockets[2:], r.runtimes...)
}

func (r *rig) wantsWitnesses() {
	r.T.Helper()
	for i, w := range r.witnesses {
		if err := w.lives(); err != nil {
			r.T.Fatalf("witness %d: %v", i, err)
		}
	}
}

// descriptors are the open descriptors of a process by number, and what each is.
type descriptors map[uint64]string

func (r *rig) descriptors() descriptors {
	r.T.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", r.Cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.T.Fatal(err)
	}
	all := descriptors{}
	for _, entry := range entries {
		fd, err := strconv.ParseUint(entry.Name(), 10, 64)
		if err != nil {
			continue
		}
		// One that is closed between the two looks is not open.
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			all[fd] = target
		}
	}
	return all
}

// of returns the descriptors of a kind, lowest first. The Go runtime opens its own before
// the loops open theirs.
func (d descriptors) of(kind string) (fds []uint64) {
	for fd, target := range d {
		if strings.HasPrefix(target, kind) {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// restLook is the time over which an idle process is looked at.
const restLook = 200 * time.Millisecond

// wantsRest waits until the process does nothing. One that spins wants a processor all the
// time. /proc/PID/schedstat says how long its threads ran, and also how long they waited
// for a processor: so one that spins is found on a busy machine too. A process that is
// traced stands still while its tracer handles a call. So the tracer's time is added.
func (r *rig) wantsRest(tracers ...*tracing) {
	r.T.Helper()
	wants := func() time.Duration {
		sum := wantedOf(r.Process)
		for _, tr := range tracers {
			sum += wantedOf(tr.Process)
		}
		return sum
	}
	last, at := wants(), time.Now()
	r.Until("rest: it wants a processor for most of the time", func() bool {
		if time.Since(at) < restLook {
			return false
		}
		wanted := wants()
		share := float64(wanted-last) / float64(time.Since(at))
		last, at = wanted, time.Now()
		return share < 0.5
	})
}

// wantedOf returns for how long the threads of a process ran or waited for a processor.
func wantedOf(p *blackbox.Process) (sum time.Duration) {
	p.T.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.Cmd.Process.Pid))
	if err != nil {
		p.T.Fatal(err)
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		var ran, waited time.Duration
		if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
			p.T.Fatalf("%s: %v", name, err)
		}
		sum += ran + waited
	}
	return sum
}

// A tracing is a tracer at work. Its reports are always read: a tracer that waited for a
// reader would leave the process stopped at a call.
type tracing struct {
	*blackbox.Process
	input    *os.File
	reports  chan report   // all reports but those of failures
	failed   atomic.Int64  // how many calls have failed
	failures chan struct{} // more calls have failed; closed at the tracer's end
}

// traces starts a tracer and waits until the process is in its hands.
func (r *rig) traces(f fault) *tracing {
	r.T.Helper()
	f.PID = r.Cmd.Process.Pid
	wanted, err := json.Marshal(f)
	if err != nil {
		r.T.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		r.T.Fatal(err)
	}
	told, output, err := os.Pipe()
	if err != nil {
		r.T.Fatal(err)
	}
	input, tells, err := os.Pipe()
	if err != nil {
		r.T.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), tracerVariable+"="+string(wanted))
	cmd.Stdin, cmd.Stdout = input, output
	tr := &tracing{input: tells, reports: make(chan report, 2), failures: make(chan struct{}, 1)}
	tr.Process = blackbox.Start(r.T, "tracer", cmd, patience)
	input.Close()
	output.Close()
	go tr.listens(told)
	r.T.Cleanup(func() { tells.Close() })
	if got := tr.waits(); got.Event != "attached" {
		r.T.Fatalf("the tracer tells %+v, want that it is attached", got)
	}
	return tr
}

func (tr *tracing) listens(told *os.File) {
	defer close(tr.failures)
	defer close(tr.reports)
	defer told.Close()
	for from := json.NewDecoder(told); ; {
		var r report
		if from.Decode(&r) != nil {
			return
		}
		if r.Event != "injected" {
			tr.reports <- r // there is room: one when it is attached, and one at its end
			continue
		}
		tr.failed.Add(1)
		select {
		case tr.failures <- struct{}{}:
		default: // the one before has not been seen yet
		}
	}
}

// waits returns the next report that is not of a failure.
func (tr *tracing) waits() report {
	tr.T.Helper()
	select {
	case r, more := <-tr.reports:
		if !more {
			tr.T.Fatal("the tracer has ended without a word")
		}
		return r
	case <-time.After(patience):
		tr.T.Fatal("the tracer tells nothing")
		return report{}
	}
}

// leaves makes the tracer let the process go, and returns what is left to tell: how many
// calls have failed, and how often each call was made.
func (tr *tracing) leaves() (injected int, counts map[int]int) {
	tr.T.Helper()
	tr.input.Close()
	r := tr.waits()
	if r.Event != "ended" {
		tr.T.Fatalf("the tracer tells %+v, want that it has ended", r)
	}
	tr.WantsEnd()
	return int(tr.failed.Load()), r.Counts
}
