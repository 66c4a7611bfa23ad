//go:build faults

package faults

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// peerVariable holds the behaviour of the peer that this process shall be.
const peerVariable = "HOLDFAST_FAULTS_PEER"

// A behaviour is what the sessions of one peer do by themselves.
type behaviour struct {
	Server   bool   // accepts sessions at upstreamListen; else opens them at the proxy
	Sessions int    // that a client opens, 1 if 0
	Path     string // that it asks for, "/" if empty
	CA       string // a client's: the file of the certificate that it trusts; then it uses TLS
	At       string // where a server listens, or which proxy a client visits; empty for upstreamListen or proxyListen

	ReadRate    int           // bytes a second; 0 = as fast as they come
	ReadBuffer  int           // SO_RCVBUF; 0 = the kernel's default
	Mute        bool          // answers neither pings nor Closes
	Echo        bool          // sends each message back
	TalkEvery   time.Duration // sends a short message so often
	PingEvery   time.Duration // sends pings of its own so often
	TellEvery   int           // bytes of messages received, after each of which it tells "received"
	TellAsked   bool          // tells "pinged" of each ping, "closing" of a Close, before it answers, and "answered" after that
	AnswerDelay time.Duration // pings and Closes are answered so much later,
	AnswerAfter int           // behind so many bytes of messages
	AnswerSize  int           // of so many bytes each
	Quiet       bool          // tells neither "opened" nor orderly ends
	Visit       string        // "close" or "abort": ends the session after one echo, and opens the next; "stay" opens the next after an end
	Tolerant    bool          // tells nothing of sessions that fail to open, or that end without a Close
}

// A command is what a peer is told to do on each of its sessions.
type command struct {
	Do     string // "send", "flood", "close", "reset", or "finish": begins no session any more, and closes all
	Bytes  int    // send: in all
	Size   int    // send and flood: of a message
	Rate   int    // flood: bytes a second; 0 = as fast as they are taken
	Code   int    // of the Close; send: 0 = none follows
	Reason string
}

// An event is what a peer tells.
type event struct {
	Event   string // "listening", "opened", "received", "pinged", "closing", "answered", "closed", "ended", "corrupt", "failed" or "finished"
	Session int    `json:",omitempty"`
	Bytes   int    `json:",omitempty"` // received: in all
	Code    int    `json:",omitempty"` // closed: what the Close said
	Reason  string `json:",omitempty"`
	Error   string `json:",omitempty"` // ended: without a Close
}

// streamPath is where a server sends messages without end.
const streamPath = "/stream"

const visitPause = 50 * time.Millisecond // between two

// A program is a peer as it runs in a process of its own.
type program struct {
	behaviour
	out chan<- event

	mu        sync.Mutex
	next      int
	sessions  map[*session]struct{}
	finishing bool
	running   sync.WaitGroup // sessions
}

// runPeer does as it is told until its input ends.
func runPeer(wanted string) int {
	p := &program{sessions: map[*session]struct{}{}}
	if err := json.Unmarshal([]byte(wanted), &p.behaviour); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	out := make(chan event, 1024)
	p.out = out
	go writeEvents(out)
	if p.Server {
		go p.serve()
	} else {
		for range max(1, p.Sessions) {
			go p.visits()
		}
	}
	for commands := json.NewDecoder(os.Stdin); ; {
		var c command
		if err := commands.Decode(&c); err != nil {
			return 0
		}
		if c.Do == "finish" {
			go p.finish()
			continue
		}
		for _, s := range p.all() {
			go s.does(c)
		}
	}
}

func writeEvents(events <-chan event) {
	for out := json.NewEncoder(os.Stdout); ; {
		_ = out.Encode(<-events) // it fails when the reader has ended
	}
}

func (p *program) fails(err error) { p.out <- event{Event: "failed", Error: err.Error()} }

func (p *program) serve() {
	config := net.ListenConfig{Control: p.control}
	listener, err := config.Listen(context.Background(), "tcp", cmp.Or(p.At, upstreamListen))
	if err != nil {
		p.fails(err)
		return
	}
	p.out <- event{Event: "listening"}
	for {
		conn, err := listener.Accept()
		if err != nil {
			p.fails(err)
			return
		}
		go p.accepted(conn)
	}
}

func (p *program) accepted(conn net.Conn) {
	s := p.newSession(conn, conn)
	upgrader := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			s.stream = string(uri) == streamPath
			return nil
		},
		// Before the 101: once the client is open, a test may tell this peer what to do.
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			p.begins(s)
			return nil, nil
		},
	}
	if _, err := upgrader.Upgrade(conn); err != nil {
		_ = conn.Close() // the proxy looks whether the service accepts connections
		p.forgets(s)
		return
	}
	p.runs(s)
}

// visits opens a session, and the next when it has ended if that is the behaviour.
func (p *program) visits() {
	for p.mayBegin() {
		conn, early, err := p.dial()
		switch {
		case err != nil && p.Tolerant:
		case err != nil:
			p.fails(err)
		default:
			s := p.newSession(conn, early)
			s.client = true
			p.begins(s)
			p.runs(s)
		}
		p.running.Done()
		if p.Visit == "" {
			return
		}
		time.Sleep(visitPause)
	}
}

func (p *program) mayBegin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finishing {
		return false
	}
	p.running.Add(1)
	return true
}

func (p *program) dial() (net.Conn, io.Reader, error) {
	dialer := net.Dialer{Control: p.control}
	at := cmp.Or(p.At, proxyListen)
	conn, err := dialer.Dial("tcp", at)
	if err != nil {
		return nil, nil, err
	}
	target := url.URL{Scheme: "ws", Host: at, Path: cmp.Or(p.Path, "/")}
	if p.CA != "" {
		target.Scheme = "wss"
		pem, err := os.ReadFile(p.CA)
		if err != nil {
			return nil, nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: proxyAddress})
	}
	early, _, err := ws.Dialer{}.Upgrade(conn, &target)
	if err != nil {
		_ = conn.Close() // the first error says why
		return nil, nil, err
	}
	if early == nil {
		return conn, conn, nil
	}
	return conn, early, nil
}

// control sets what must be set before a socket connects or listens.
func (p *program) control(_, _ string, raw syscall.RawConn) (err error) {
	if p.ReadBuffer == 0 {
		return nil
	}
	if failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, p.ReadBuffer)
	}); failed != nil {
		return failed
	}
	return err
}

func (p *program) newSession(conn net.Conn, from io.Reader) *session {
	return &session{program: p, conn: conn, from: from, over: make(chan struct{})}
}

// begins makes s one of the sessions that are told what to do.
func (p *program) begins(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	s.id = p.next
	p.sessions[s] = struct{}{}
}

func (p *program) forgets(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
}

func (p *program) runs(s *session) {
	if !p.Quiet {
		p.out <- event{Event: "opened", Session: s.id}
	}
	s.run()
	p.forgets(s)
}

func (p *program) all() (all []*session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		all = append(all, s)
	}
	return all
}

// finish closes a client's sessions and says when the last has ended.
func (p *program) finish() {
	p.mu.Lock()
	p.finishing = true
	p.mu.Unlock()
	if p.Visit == "" { // else they end by themselves
		for _, s := range p.all() {
			go s.close(int(ws.StatusNormalClosure), "")
		}
	}
	p.running.Wait()
	p.out <- event{Event: "finished"}
}
