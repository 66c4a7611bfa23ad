package proxy_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/metrics"
	"holdfast/proxy"
)

// patience is how long anything may take that has no deadline of its own. Only
// a failing test waits for it.
const patience = 15 * time.Second

// A rig is a running Server between clients and an upstream. The test plays
// both by hand. When the test ends it hangs up all peers, and wants the
// Server to forget them and to stop, and its counters to be right.
type rig struct {
	t       *testing.T
	server  *proxy.Server
	metrics *metrics.Metrics
	log     fixture.Transcript
	service *net.TCPListener
	tls     legsTLS
	ran     chan error // what Run returned
	ends    proxy.Stop // how shutdown ends the Server
	stopped bool       // by the test itself

	mu    sync.Mutex
	peers []*peer
}

// newRig starts a Server with long timeouts and no pings, where change does not
// say otherwise.
func newRig(t *testing.T, change func(*proxy.Config)) *rig {
	t.Helper()
	return newRigWith(t, change, func(*proxy.Server) {})
}

// newRigWith is newRig; prepare may adapt the Server before it runs.
func newRigWith(t *testing.T, change func(*proxy.Config), prepare func(*proxy.Server)) *rig {
	t.Helper()
	r := &rig{t: t, metrics: fixture.Own(metrics.New("test")), ran: make(chan error, 1)}
	var err error
	if r.service, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	cfg := proxy.Config{
		Listen:           "127.0.0.1:0",
		Upstreams:        []proxy.Upstream{{URL: &url.URL{Scheme: "ws", Host: r.service.Addr().String()}}},
		HandshakeTimeout: patience,
		HTTPTimeout:      patience,
		DialTimeout:      patience,
		HealthInterval:   -1, // the upstream sees the test's connections alone
		WriteTimeout:     patience,
		CloseTimeout:     patience,
		MaxHeaderSize:    32 << 10,
		MaxSessionsPerIP: 1 << 20, // nobody has so many, but every seat must be given back
		CloseCodes:       proxy.CloseCodes{Timeout: 1011, UpstreamLost: 1012, Drain: 1012},
		Loops:            2,
		Log:              slog.New(slog.NewJSONHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics:          r.metrics,

		UpstreamHandshakeTimeout: patience,
	}
	if change != nil {
		change(&cfg)
	}
	if *overTLS {
		secureLegs(&cfg)
	}
	r.ends = proxy.Stop{Timeout: patience}
	r.tls = legsTLS{client: cfg.TLS != nil, upstream: cfg.Upstreams[0].TLS != nil}
	if r.server, err = proxy.New(cfg); err != nil {
		r.service.Close()
		t.Fatal(err)
	}
	prepare(r.server)
	go r.run()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) run() { r.ran <- r.server.Run() }

// stop is the end of every test.
func (r *rig) stop() {
	r.service.Close()
	r.hangUp()
	if !r.stopped {
		r.wantsNoSessions()
		if cut := r.shutdown(patience); cut != 0 {
			r.t.Errorf("Shutdown cut %d sessions although none was open", cut)
		}
	}
	r.wantsGaugesAtZero()
	if r.t.Failed() {
		r.t.Logf("the log:\n%s", r.log.String())
	}
}

func (r *rig) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		p.tcp().Close()
	}
}

// shutdown stops the Server and returns how many sessions it had to cut.
func (r *rig) shutdown(limit time.Duration) int {
	r.t.Helper()
	r.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cut, err := r.server.Shutdown(ctx, r.ends)
	if err != nil {
		r.t.Errorf("Shutdown: %v", err)
	}
	select {
	case err := <-r.ran:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		r.t.Error("Run did not return after Shutdown")
	}
	return cut
}

// eventually asks for what has no event to wait for.
func (r *rig) eventually(why string, is func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("never happened: %s", why)
		}
	}
}

func (r *rig) wantsNoSessions() {
	r.t.Helper()
	for end := time.Now().Add(patience); r.server.Clients() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Errorf("%d sessions are left though all peers are gone", r.server.Clients())
			return
		}
	}
}

// wantsGaugesAtZero: a stopped Server holds nothing, and no panic was caught.
func (r *rig) wantsGaugesAtZero() {
	r.t.Helper()
	for name, v := range r.scrape() {
		family, _, _ := strings.Cut(name, "{")
		switch family {
		case "sessions_active", "buffered_bytes", "reads_paused", "upstream_sessions_active", "panics_total":
			if v != 0 {
				r.t.Errorf("%s is %v after the end of all sessions", name, v)
			}
		}
	}
	if n := r.server.Clients(); n != 0 {
		r.t.Errorf("Clients is %d after the end of all sessions", n)
	}
	if addresses, pages := r.server.Addresses(), r.server.Pages(); addresses != 0 || pages != 0 {
		r.t.Errorf("%d addresses and %d page connections are counted after the end of all sessions", addresses, pages)
	}
}

// counts are what the Server says that it did, without what is 0: "ok" and the
// other results of handshakes, "opened", "active", "closed SIDE" and
// "dropped SIDE REASON".
type counts map[string]int

// wantsCounts waits until the counters say exactly that.
func (r *rig) wantsCounts(want counts) {
	r.t.Helper()
	var got counts
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if got = r.counts(); maps.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			r.t.Errorf("the counters are %v, want %v", got, want)
			return
		}
	}
}

// counts reads the counters, whose sum rule must hold at every scrape.
func (r *rig) counts() counts {
	r.t.Helper()
	got := counts{}
	ended := 0
	for name, v := range r.scrape() {
		n := int(v)
		family, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		key := strings.ReplaceAll(labels, ",", " ")
		switch family {
		case "handshakes_total":
		case "sessions_opened_total":
			key = "opened"
		case "sessions_active":
			key = "active"
			ended += n
		case "sessions_closed_total":
			key = "closed " + key
			ended += n
		case "sessions_dropped_total":
			// The labels come in the order of their names.
			reason, side, _ := strings.Cut(key, " ")
			key = "dropped " + side + " " + reason
			ended += n
		default:
			continue
		}
		if n != 0 {
			got[key] = n
		}
	}
	if got["opened"] != ended {
		r.t.Errorf("opened is not active + closed + dropped: %v", got)
	}
	return got
}

// metric is one counter or gauge, its labels' values in the order of their names.
func (r *rig) metric(name string) int {
	r.t.Helper()
	v, ok := r.scrape()[name]
	if !ok {
		r.t.Fatalf("there is no metric %s", name)
	}
	return int(v)
}

// scrape returns all instruments of ours, named as fixture.Counted names them.
func (r *rig) scrape() map[string]float64 {
	r.t.Helper()
	return fixture.Counted(r.t, r.metrics.Registry())
}

// dials connects a client, which has said nothing yet.
func (r *rig) dials() *peer { return r.dialsWith(net.Dialer{Timeout: patience}) }

// dialsNarrowly connects a client whose kernel takes little that it does not read.
func (r *rig) dialsNarrowly() *peer {
	return r.dialsWith(net.Dialer{Timeout: patience, Control: narrow})
}

func narrow(_, _ string, c syscall.RawConn) (err error) {
	fault := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
	})
	if fault != nil {
		return fault
	}
	return err
}

func (r *rig) dialsWith(d net.Dialer) *peer {
	r.t.Helper()
	conn, err := d.Dial("tcp", r.server.Addr().String())
	if err != nil {
		r.t.Fatalf("dial the proxy: %v", err)
	}
	if r.tls.client {
		return r.peer("client", tls.Client(conn, clientTLS()))
	}
	return r.peer("client", conn.(*net.TCPConn))
}

// accepts takes the connection that the Server opened to the upstream.
func (r *rig) accepts() *peer {
	r.t.Helper()
	return r.acceptsAt(r.service)
}

// acceptsAt is accepts for another upstream than the rig's service.
func (r *rig) acceptsAt(service *net.TCPListener) *peer {
	r.t.Helper()
	_ = service.SetDeadline(time.Now().Add(patience))
	conn, err := service.AcceptTCP()
	if err != nil {
		r.t.Fatalf("nobody connects to the upstream: %v", err)
	}
	if r.tls.upstream {
		return r.peer("upstream", tls.Server(conn, serverTLS()))
	}
	return r.peer("upstream", conn)
}

// wantsNoDial is asked at the end, when all that is to happen has happened.
func (r *rig) wantsNoDial(why string) {
	r.t.Helper()
	_ = r.service.SetDeadline(time.Now().Add(moment))
	if conn, err := r.service.AcceptTCP(); err == nil {
		conn.Close()
		r.t.Errorf("the upstream was dialled: %s", why)
	}
}

// opens makes a session; fields are added to the client's request.
func (r *rig) opens(fields ...string) (client, upstream *peer) {
	r.t.Helper()
	return r.opensWith(r.dials(), fields, nil)
}

// opensDeflate makes a session that negotiated permessage-deflate.
func (r *rig) opensDeflate() (client, upstream *peer) {
	r.t.Helper()
	deflate := []string{"Sec-WebSocket-Extensions: permessage-deflate"}
	return r.opensWith(r.dials(), deflate, deflate)
}

// asksUpstream lets a client send a request, and the upstream read it.
func (r *rig) asksUpstream(request string) (client, upstream *peer, asked *http.Request) {
	r.t.Helper()
	client = r.dials()
	client.sendsString(request)
	upstream = r.accepts()
	return client, upstream, upstream.wantsRequest()
}

// opensWith makes a session for a client that has connected.
func (r *rig) opensWith(client *peer, asks, answers []string) (_, upstream *peer) {
	r.t.Helper()
	client.sendsString(wire.Request(asks...))
	upstream = r.accepts()
	upstream.sendsString(wire.Answer(upstream.wantsRequest(), answers...))
	client.wantsSwitch()
	return client, upstream
}

func (r *rig) peer(name string, conn stream) *peer {
	p := newPeer(r.t, name, conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers = append(r.peers, p)
	return p
}
