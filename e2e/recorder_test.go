//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"holdfast/internal/wire"
)

// recorderVariable holds the address where this process is to be a recorder.
const recorderVariable = "HOLDFAST_E2E_RECORDER"

// Paths that a recorder knows. The last element of any other path names the request.
const (
	healthPath = "/health" // requests for it are answered, and not recorded
	lostPath   = "/lost/"  // a request below it is read whole, and not answered
)

// leave is the message after which a recorder ends the session by a Close.
const leave = "leave"

// A recorder is a service that tells of each request before it answers. So a test knows
// what the recorder has read, even if the recorder was killed in the middle of it.
type recorder struct {
	listener *net.TCPListener
	serving  sync.WaitGroup // connections

	mu       sync.Mutex
	out      *json.Encoder
	conns    map[*recorded]struct{}
	sessions int
	vanished bool
}

// A recorded is a connection of a recorder.
type recorded struct {
	*net.TCPConn
	session bool // guarded by the recorder's mu

	mu      sync.Mutex // of all that is written
	closing bool       // a Close is sent
}

// runRecorder serves at the address, and does as it is told until its input ends.
func runRecorder(address string) int {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // whose sockets take no filter
	listener, err := plain.Listen(context.Background(), "tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r := &recorder{
		listener: listener.(*net.TCPListener),
		out:      json.NewEncoder(os.Stdout),
		conns:    map[*recorded]struct{}{},
	}
	r.tells(event{Event: "listening", Port: listener.Addr().(*net.TCPAddr).Port})
	go r.accepts()
	for commands := json.NewDecoder(os.Stdin); ; {
		var c command
		if err := commands.Decode(&c); err != nil {
			return 0
		}
		switch c.Do {
		case "count":
			r.mu.Lock()
			counted := event{Event: "counted", Sessions: r.sessions}
			r.mu.Unlock()
			r.tells(counted)
		case "vanish":
			r.vanishes(true)
			r.tells(event{Event: "vanished"})
		case "return":
			r.vanishes(false)
			r.tells(event{Event: "returned"})
		case "retire":
			r.retires()
			return 0
		}
	}
}

func (r *recorder) tells(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(e) // it fails when the test has ended
}

func (r *recorder) accepts() {
	for {
		conn, err := r.listener.AcceptTCP()
		if err != nil {
			return // it retires
		}
		c := &recorded{TCPConn: conn}
		r.serving.Add(1)
		r.mu.Lock()
		r.conns[c] = struct{}{}
		if r.vanished {
			ignores(conn, true)
		}
		r.mu.Unlock()
		go r.serves(c)
	}
}

func (r *recorder) serves(c *recorded) {
	defer r.serving.Done()
	defer r.forgets(c)
	from := bufio.NewReader(c)
	request, err := http.ReadRequest(from)
	if err != nil {
		return // the proxy looks whether the service accepts connections
	}
	if request.URL.Path != healthPath {
		r.tells(event{Event: "request", ID: path.Base(request.URL.Path)})
	}
	size, err := io.Copy(io.Discard, request.Body)
	switch {
	case err != nil || strings.HasPrefix(request.URL.Path, lostPath):
	case request.Header.Get("Upgrade") != "":
		r.begins(c)
		if _, err := io.WriteString(c, wire.Answer(request)); err == nil {
			c.echoes(from)
		}
	default:
		body := fmt.Sprint(size)
		_, _ = io.WriteString(c, wire.Head("HTTP/1.1 200 OK", "Connection: close", fmt.Sprint("Content-Length: ", len(body)))+body)
	}
}

func (r *recorder) begins(c *recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions++
	c.session = true
}

func (r *recorder) forgets(c *recorded) {
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	if c.session {
		r.sessions--
	}
}

// echoes returns each message until the session ends.
func (c *recorded) echoes(from io.Reader) {
	for {
		f, err := wire.Read(from, true)
		switch {
		case err != nil:
			return
		case f.Op == ws.OpClose:
			c.writes(f) // unless it answers ours
			return
		case f.Op == ws.OpPing:
			c.writes(wire.Pong(f.Payload))
		case f.Op == ws.OpPong:
		case f.Payload == leave:
			c.writes(wire.Close(1000, leave))
		default:
			c.writes(f)
		}
	}
}

// writes sends a frame, and nothing after a Close. A write that fails is followed by a read
// that fails.
func (c *recorded) writes(f wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.closing = f.Op == ws.OpClose
		_, _ = c.Write(wire.Encode(false, f))
	}
}

// vanishes makes the recorder a host that has left the network: the kernel drops all that
// comes to its sockets, and acknowledges nothing. When it is back, each session is sent a
// ping, which the kernel of a peer that has ended the connection answers with a reset.
func (r *recorder) vanishes(vanished bool) {
	r.mu.Lock()
	r.vanished = vanished
	ignores(r.listener, vanished)
	var sessions []*recorded
	for c := range r.conns {
		ignores(c.TCPConn, vanished)
		if c.session {
			sessions = append(sessions, c)
		}
	}
	r.mu.Unlock()
	if vanished {
		return
	}
	for _, c := range sessions {
		c.writes(wire.Ping("still there?"))
	}
}

// ignores lets the kernel drop every packet to the socket, or lets it pass again.
func ignores(socket interface {
	SyscallConn() (syscall.RawConn, error)
}, ignored bool) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { // it fails only on a socket that is closed
		if !ignored {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
			return
		}
		none := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none})
	})
	if err != nil && err != unix.ENOENT { // it had no filter
		panic(err)
	}
}

// retires ends all sessions by a Close, as a service that is restarted does.
func (r *recorder) retires() {
	r.listener.Close()
	r.mu.Lock()
	var sessions []*recorded
	for c := range r.conns {
		if c.session {
			sessions = append(sessions, c)
		}
	}
	r.mu.Unlock()
	for _, c := range sessions {
		c.writes(wire.Close(1001, "restart"))
	}
	r.serving.Wait()
}
