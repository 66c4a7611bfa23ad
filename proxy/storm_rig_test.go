package proxy_test

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"holdfast/internal/race"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// handshakesThatFail returns how many clients fail, each at another step.
func handshakesThatFail() int {
	if race.Enabled && !testing.Short() {
		return 10_000
	}
	return 1_000
}

// Nothing is left of handshakes that fail: no session, no place in a queue, no
// count for the address, and, as TestMain asks at the end, no descriptor and no
// goroutine.
func TestHandshakesThatFailLeaveNothing(t *testing.T) {
	fail := handshakesThatFail()
	for name, change := range map[string]func(*proxy.Config){
		"plain": func(*proxy.Config) {}, "TLS": secureLegs,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(cfg *proxy.Config) {
				change(cfg)
				cfg.HandshakeTimeout = time.Second
				cfg.UpstreamHandshakeTimeout = time.Second
				cfg.DialTimeout = time.Second
				cfg.CloseTimeout = time.Second
				cfg.MaxSessionsPerIP = fail
			})
			var service sync.WaitGroup
			service.Go(r.failsClients)
			var clients sync.WaitGroup
			turns := make(chan int)
			for range 50 {
				clients.Go(func() {
					for i := range turns {
						failures[i%len(failures)](r)
					}
				})
			}
			for i := range fail {
				turns <- i
			}
			close(turns)
			clients.Wait()
			r.wantsNoSessions()
			r.service.Close()
			service.Wait()
			if got := r.counts(); got["ok"] != 0 || got["opened"] != 0 || got["internal"] != 0 {
				t.Errorf("the counters are %v", got)
			}
		})
	}
}

// failures are the ways in which a client fails. After them the
// upstream's ways follow, see failsClients.
var failures = []func(*rig){
	func(r *rig) { r.tries("") },
	func(r *rig) { r.tries("GET / HT") },
	func(r *rig) { r.tries("\x16\x03\x01\x00\x05\x01\x00") },
	func(r *rig) { r.triesSecured("GET / HTTP/1.1\r\nHost:") },
	func(r *rig) { r.triesSecured("BREW / HTCPCP/1.0\r\n\r\n") },
	func(r *rig) {
		r.triesSecured(wire.Head("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade"))
	},
	func(r *rig) { r.triesSecured(wire.Request("Content-Length: 1") + "x") },
	func(r *rig) { r.triesSecured(wire.Request()) },
	func(r *rig) { r.triesSecured(wire.Request()) },
	func(r *rig) { r.triesSecured(wire.Request()) },
	func(r *rig) { r.gives(wire.Request()) },
}

// tries sends something and reads what comes until the end.
func (r *rig) tries(s string) { r.converse(false, true, s) }

func (r *rig) triesSecured(s string) { r.converse(r.tls.client, true, s) }

// gives sends something and goes away.
func (r *rig) gives(s string) { r.converse(r.tls.client, false, s) }

func (r *rig) converse(secured, patient bool, s string) {
	conn, err := net.Dial("tcp", r.server.Addr().String())
	if err != nil {
		r.t.Errorf("dial the proxy: %v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	talk := conn
	if secured {
		talk = tls.Client(conn, clientTLS())
	}
	_, err = talk.Write([]byte(s))
	if err != nil || !patient || s == "" {
		return
	}
	_ = conn.(*net.TCPConn).CloseWrite() // it fails only on a connection that is gone
	if talk == conn {
		drain(conn)
	}
}

func drain(conn net.Conn) {
	var b [512]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
	}
}

// failsClients is an upstream that answers each connection with another failure.
func (r *rig) failsClients() {
	var talks sync.WaitGroup
	defer talks.Wait()
	for i := 0; ; i++ {
		conn, err := r.service.Accept()
		if err != nil {
			return
		}
		talks.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			r.failsClient(i, conn)
		})
	}
}

func (r *rig) failsClient(i int, conn net.Conn) {
	if i%7 == 0 {
		return // before anything was said
	}
	if r.tls.upstream {
		conn = tls.Server(conn, serverTLS())
	}
	var b [4096]byte
	_, _ = conn.Read(b[:])
	answers := []string{
		"",
		"HTTP/1.1 ",
		"SSH-2.0-OpenSSH_9.7\r\n",
		wire.Head("HTTP/1.1 401 Unauthorized", "Content-Length: 2") + "no",
		wire.Head("HTTP/1.1 503 Service Unavailable", "Transfer-Encoding: chunked") + "5\r\nhello\r\n",
		wire.Head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: wrong"),
	}
	_, _ = conn.Write([]byte(answers[i%len(answers)]))
}

// A storm waits in the queue: the upstream sees no more connections being made at a
// time than may be, and everybody gets in. With TLS a connection is not made
// before the handshake has ended, which the test can hold up.
func TestStormQueues(t *testing.T) {
	const clients = 700
	r := newRig(t, secureUpstream)
	var all []*peer
	for range clients {
		client := r.dials()
		client.sendsString(wire.Request())
		all = append(all, client)
	}
	var dialled []*peer
	for range proxy.DialsAtOnce {
		dialled = append(dialled, r.accepts())
	}
	r.wantsNoDial("as many connections as may be are being made")
	for i := range clients {
		if i >= len(dialled) {
			dialled = append(dialled, r.accepts())
		}
		dialled[i].sendsString(wire.Answer(dialled[i].wantsRequest()))
	}
	for _, client := range all {
		client.wantsSwitch()
	}
	r.wantsCounts(counts{"ok": clients, "opened": clients, "active": clients})
}

// An upstream that takes its time to answer some holds nobody else up.
func TestSlowAnswersHoldNobodyUp(t *testing.T) {
	r := newRig(t, nil)
	for range proxy.DialsAtOnce + 50 {
		r.dials().sendsString(wire.Request())
		r.accepts() // and never answers
	}
	r.opens()
}
