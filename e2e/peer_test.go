//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// runtime is what runs the peers' scripts.
type runtime struct {
	name string
	path string // "" to look for it
	ext  string
}

// Debian's Python, since the library is a package of Debian's.
var (
	python = runtime{name: "python", path: "/usr/bin/python3", ext: ".py"}
	node   = runtime{name: "node", ext: ".js"}
)

func (r runtime) command(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	path := r.path
	if path == "" {
		path = tool(t, r.name)
	}
	return exec.Command(path, append([]string{filepath.Join(r.name, script+r.ext)}, args...)...)
}

// event is what a peer tells. ID names the session that it is about: a client
// connects to the path of its name, so that both peers use the same.
type event struct {
	Event      string            `json:"event"`
	ID         string            `json:"id"`
	Code       int               `json:"code"` // closed: of the Close that came; 1005 for an empty one, 1006 for none
	Reason     string            `json:"reason"`
	Protocol   string            `json:"protocol"`
	Extensions string            `json:"extensions"`
	Payload    string            `json:"payload"`
	Same       bool              `json:"same"` // echoed, talked: what came back is what was sent
	Status     int               `json:"status"`
	Port       int               `json:"port"`
	Headers    map[string]string `json:"headers"`   // of the request, names in lower case
	TLS        string            `json:"tls"`       // version; "" for none
	ALPN       string            `json:"alpn"`      // agreed
	Serial     string            `json:"serial"`    // of the other end's certificate, in hex
	Reused     bool              `json:"reused"`    // the connection had carried a request before
	Transport  string            `json:"transport"` // of socket.io
	Sessions   int               `json:"sessions"`  // counted: that are open
}

// command is what a peer is told to do.
type command struct {
	Do         string   `json:"do"`
	ID         string   `json:"id"`
	URL        string   `json:"url,omitempty"`
	Protocols  []string `json:"protocols,omitempty"`
	Deflate    bool     `json:"deflate,omitempty"`
	Keepalive  int      `json:"keepalive,omitempty"` // milliseconds between the client's own pings
	TLS        *peerTLS `json:"tls,omitempty"`
	From       string   `json:"from,omitempty"`       // the client's own address; python and socket.io only
	Cookie     string   `json:"cookie,omitempty"`     // to send, as in the field; socket.io only
	Claims     string   `json:"claims,omitempty"`     // X-Forwarded-For to send; python only
	Socket     string   `json:"socket,omitempty"`     // path of the socket to connect to; python only
	After      string   `json:"after,omitempty"`      // path of a request before, on the same connection; node only
	Transports []string `json:"transports,omitempty"` // socket.io only
	Type       string   `json:"type,omitempty"`
	Size       int      `json:"size,omitempty"`
	Fragments  int      `json:"fragments,omitempty"`
	Payload    string   `json:"payload,omitempty"`
	Code       int      `json:"code,omitempty"`
	Reason     string   `json:"reason,omitempty"`
}

// peerTLS is the TLS of a peer: PEM files, and the one version it speaks.
type peerTLS struct {
	CA      string `json:"ca,omitempty"` // whom to believe; a server with one demands certificates
	Cert    string `json:"cert,omitempty"`
	Key     string `json:"key,omitempty"`
	Version string `json:"version,omitempty"` // "TLSv1.2" or "TLSv1.3"; "" for either
}

// as is the TLS of a peer that has a certificate.
func (p peerTLS) as(i identity) *peerTLS {
	p.Cert, p.Key = i.certFile, i.keyFile
	return &p
}

// peer is a script at one end of sessions.
type peer struct {
	*blackbox.Process
	commands *json.Encoder
	takes    func(event) bool // takes an event at once, so that nobody waits for it; it may be nil
	events   chan event       // closed at the process's end
	untaken  []event          // read from events while waiting for another
}

func startPeer(t *testing.T, name string, cmd *exec.Cmd) *peer {
	t.Helper()
	return startPeerTakenFrom(t, name, cmd, nil)
}

// startPeerTakenFrom starts a peer that tells more than a test waits for.
func startPeerTakenFrom(t *testing.T, name string, cmd *exec.Cmd, takes func(event) bool) *peer {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout := io.Pipe()
	cmd.Stdout = stdout
	p := &peer{
		Process:  start(t, name, cmd),
		commands: json.NewEncoder(stdin),
		takes:    takes,
		events:   make(chan event, 1024),
	}
	go p.closeAtEnd(stdout)
	go p.listen(out)
	return p
}

func (p *peer) closeAtEnd(stdout io.Closer) {
	<-p.Ended
	stdout.Close()
}

func (p *peer) listen(r io.Reader) {
	defer close(p.events)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(&p.Stderr, "no event: %s\n", lines.Text())
			continue
		}
		if p.takes == nil || !p.takes(e) {
			p.events <- e
		}
	}
}

func (p *peer) does(c command) {
	p.T.Helper()
	if err := p.commands.Encode(c); err != nil {
		p.T.Fatalf("%s cannot be told to %s: %v", p.Name, c.Do, err)
	}
}

// wants waits for the next event of the kind in the session of that name.
func (p *peer) wants(kind, id string) event {
	p.T.Helper()
	return p.wantsOneOf(id, kind)
}

// wantsOneOf waits for the next event of one of the kinds in the session of that name.
func (p *peer) wantsOneOf(id string, kinds ...string) event {
	p.T.Helper()
	return p.wantsThat(fmt.Sprintf("%q of %q", kinds, id), func(e event) bool {
		return e.ID == id && slices.Contains(kinds, e.Event)
	})
}

// wantsThat waits for the next event that is the one.
func (p *peer) wantsThat(what string, isIt func(event) bool) event {
	p.T.Helper()
	if i := slices.IndexFunc(p.untaken, isIt); i >= 0 {
		e := p.untaken[i]
		p.untaken = slices.Delete(p.untaken, i, i+1)
		return e
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				p.T.Fatalf("%s ended (%v) before %s; it told %+v", p.Name, p.Err, what, p.untaken)
			}
			if isIt(e) {
				return e
			}
			p.untaken = append(p.untaken, e)
		case <-deadline.C:
			p.T.Fatalf("%s did not tell %s; it told %+v", p.Name, what, p.untaken)
		}
	}
}

// wantsClosed waits for the session's end and its Close.
func (p *peer) wantsClosed(id string, code int, reason string) {
	p.T.Helper()
	if e := p.wants("closed", id); e.Code != code || e.Reason != reason {
		p.T.Errorf("%s %q was closed with %d %q, want %d %q", p.Name, id, e.Code, e.Reason, code, reason)
	}
}

// hasToldNo is for what would have been told before the last event waited for.
func (p *peer) hasToldNo(kind string) {
	p.T.Helper()
	for _, e := range p.untaken {
		if e.Event == kind {
			p.T.Errorf("%s told %+v", p.Name, e)
		}
	}
}

// serverOptions is what a server's script is started with.
type serverOptions struct {
	Deflate   bool     `json:"deflate"`
	Protocols []string `json:"protocols,omitempty"`
	Fragments int      `json:"fragments,omitempty"` // of each echo; node only
	Mute      bool     `json:"mute,omitempty"`      // answers no ping; node only
	EmptyPong bool     `json:"emptyPong,omitempty"` // answers each ping with an empty pong; node only
	TLS       *peerTLS `json:"tls,omitempty"`
	Socket    string   `json:"socket,omitempty"` // path of the socket to listen on
}

// server is a service that never pings.
type server struct {
	*peer
	url string
}

func startServer(t *testing.T, r runtime, o serverOptions) *server {
	t.Helper()
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := startPeer(t, r.name+" server", r.command(t, "server", string(options)))
	port := p.wants("listening", "").Port
	switch {
	case o.Socket != "":
		return &server{peer: p, url: "unix:" + o.Socket}
	case o.TLS != nil:
		return &server{peer: p, url: fmt.Sprintf("wss://127.0.0.1:%d", port)}
	default:
		return &server{peer: p, url: fmt.Sprintf("ws://127.0.0.1:%d", port)}
	}
}

func (s *server) closes(id string, code int, reason string) {
	s.T.Helper()
	s.does(command{Do: "close", ID: id, Code: code, Reason: reason})
}

// client is a process with any number of sessions.
type client struct {
	*peer
}

func startClient(t *testing.T, r runtime) *client {
	t.Helper()
	return &client{startPeer(t, r.name+" client", r.command(t, "client"))}
}

// connects opens the session that c describes, at the path of its name.
func (c *client) connects(url string, options command) event {
	c.T.Helper()
	c.asks(url, options)
	return c.wants("open", options.ID)
}

// asks is connects for those that may be refused.
func (c *client) asks(url string, options command) {
	c.T.Helper()
	options.Do = "connect"
	options.URL = url + "/" + options.ID
	c.does(options)
}

// echoes sends a message and wants it back as it was.
func (c *client) echoes(id string, m message) {
	c.T.Helper()
	c.does(command{Do: "echo", ID: id, Type: m.kind, Size: m.size, Fragments: m.fragments})
	c.wantsEcho(id, m)
}

func (c *client) wantsEcho(id string, m message) {
	c.T.Helper()
	if e := c.wants("echoed", id); !e.Same {
		c.T.Errorf("%s %q: the echo of %+v is not what was sent", c.Name, id, m)
	}
}

func (c *client) closes(id string, code int, reason string) {
	c.T.Helper()
	c.does(command{Do: "close", ID: id, Code: code, Reason: reason})
}

// talks lets the session echo until it is told to hush.
func (c *client) talks(id string) {
	c.T.Helper()
	c.does(command{Do: "talk", ID: id, Type: hello.kind, Size: hello.size})
}

// hushes wants all to have come back as it was.
func (c *client) hushes(id string) {
	c.T.Helper()
	c.does(command{Do: "hush", ID: id})
	if e := c.wants("talked", id); !e.Same {
		c.T.Errorf("%s %q: what came back is not what was sent", c.Name, id)
	}
}

// message is one that clients send: random, of size bytes.
type message struct {
	kind      string // text or binary
	size      int
	fragments int
}

var hello = message{kind: "text", size: 16}
