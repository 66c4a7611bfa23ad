package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// beginShutdown stops the Server beside the test. The channel has how many
// sessions had to be cut.
func (r *rig) beginShutdown(limit time.Duration) <-chan int {
	cut := make(chan int, 1)
	r.stopped = true
	go func() { cut <- r.shutdown(limit) }()
	return cut
}

func TestShutdownOfNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if r.server.Draining() {
		t.Error("it drains before Shutdown")
	}
	if cut := r.shutdown(patience); cut != 0 {
		t.Errorf("%d sessions were cut", cut)
	}
	if !r.server.Draining() {
		t.Error("it does not drain after Shutdown")
	}
	if _, err := net.Dial("tcp", r.server.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stopped Server is dialled: %v", err)
	}
}

func TestShutdownTellsBothPeers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const sessions = 5
	var clients, upstreams []*peer
	for range sessions {
		client, upstream := r.opens()
		clients, upstreams = append(clients, client), append(upstreams, upstream)
	}
	cut := r.beginShutdown(patience)
	for i, client := range clients {
		if why := client.wantsClose("the proxy stops", 1012); why == "" {
			t.Error("the Close does not say why")
		}
		client.sends(wire.Close(1012, ""))
		upstreams[i].wantsClose("the proxy stops", 1001)
		upstreams[i].sends(wire.Close(1001, ""))
		upstreams[i].finishes("nothing follows a Close")
		client.wantsEnd("nothing follows a Close")
		client.hangsUp()
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d sessions were cut though all answered", n)
	}
	r.wantsCounts(counts{"ok": sessions, "opened": sessions, "dropped proxy drain": sessions})
}

func TestShutdownOfWhoNeverAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.CloseTimeout = short })
	r.opens() // neither answers
	client, upstream := r.opens()
	half := wire.Encode(true, wire.Text("this will never be whole"))[:10]
	client.sendsBytes(half) // nobody can be told inside a frame
	upstream.wantsBytes("half a frame", half)
	cut := r.beginShutdown(patience)
	client.wantsClose("towards the client there is a frame boundary", 1012)
	upstream.wantsCut("there can be no Close inside a frame")
	if n := <-cut; n != 0 {
		t.Errorf("%d sessions were cut, and CLOSE_TIMEOUT had ended all", n)
	}
	r.wantsCounts(counts{"ok": 2, "opened": 2, "dropped proxy drain": 2})
}

// The context's end cuts what is left, whatever the timeouts say.
func TestShutdownInAHurry(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	cut := r.beginShutdown(short)
	client.wantsClose("the proxy stops", 1012)
	upstream.wantsClose("the proxy stops", 1001)
	if n := <-cut; n != 1 {
		t.Errorf("%d sessions were cut, want 1", n)
	}
	client.wantsCut("time is up")
	upstream.wantsCut("time is up")
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped proxy drain": 1})
}

func TestShutdownDuringAHandshake(t *testing.T) {
	t.Parallel()
	t.Run("inside its head", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client := r.dials()
		client.sendsString("GET / HTTP/1.1\r\nHos")
		r.eventually("the client is accepted", func() bool { return r.server.Clients() == 1 })
		cut := r.beginShutdown(patience)
		client.wantsRefusal("the proxy stops", 503)
		client.hangsUp()
		<-cut
		r.wantsCounts(counts{"draining": 1})
	})
	t.Run("upstream silent", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client, upstream, _ := r.asksUpstream(wire.Request() + smuggled)
		cut := r.beginShutdown(patience)
		client.wantsRefusal("the proxy stops", 503)
		client.hangsUp()
		upstream.wantsCut("nobody waits for the answer")
		<-cut
		r.wantsCounts(counts{"draining": 1})
	})
}

// A session that a peer has begun to close ends as that, and not as drained.
func TestShutdownDuringACloseHandshake(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	client.sends(wire.Close(4000, "bye"))
	upstream.wants("the client's Close", wire.Close(4000, "bye"))
	cut := r.beginShutdown(patience)
	r.eventually("it drains", r.server.Draining)
	upstream.sends(wire.Close(4000, "bye"))
	upstream.finishes("nothing follows a Close")
	client.wants("the first cause is latched", wire.Close(4000, "bye"))
	client.wantsEnd("nothing follows a Close")
	client.hangsUp()
	if n := <-cut; n != 0 {
		t.Errorf("%d sessions were cut", n)
	}
	r.wantsCounts(counts{"ok": 1, "opened": 1, "closed client": 1})
}

// A client that comes while the Server stops is refused, or gets a session and then
// its Close. No session is forgotten.
func TestShutdownWhileClientsCome(t *testing.T) {
	t.Parallel()
	for i := range 5 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			served := make(chan struct{})
			go func() { r.servesEcho(); close(served) }()
			var opened atomic.Int32
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if err := r.comesAndStays(&opened); err != nil {
						t.Error(err)
					}
				})
			}
			r.eventually("some sessions are open", func() bool { return opened.Load() >= int32(1+5*i) })
			if cut := r.shutdown(patience); cut != 0 {
				t.Errorf("%d sessions were cut though all answer", cut)
			}
			wg.Wait()
			r.service.Close()
			<-served
			n := int(opened.Load())
			if got := r.counts(); got["opened"] != n || got["dropped proxy drain"] != n {
				t.Errorf("%d sessions were seen by their clients, but %v", n, got)
			}
		})
	}
}

// comesAndStays is a client that keeps its session, if it gets one, until the
// Close that it must get.
func (r *rig) comesAndStays(opened *atomic.Int32) error {
	conn, err := net.DialTimeout("tcp", r.server.Addr().String(), patience)
	if err != nil {
		return wantsErrno(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	if r.tls.client {
		conn = tls.Client(conn, clientTLS())
	}
	if _, err := conn.Write([]byte(wire.Request())); err != nil {
		return wantsErrno(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return wantsErrno(err) // the kernel had it, the Server never did
	}
	switch resp.StatusCode {
	case http.StatusServiceUnavailable:
		return nil
	case http.StatusSwitchingProtocols:
		opened.Add(1)
	default:
		return fmt.Errorf("the client got %s", resp.Status)
	}
	f, err := (&peer{name: "client", in: in}).reads()
	if err != nil || f.Code() != 1012 {
		return fmt.Errorf("an open session was forgotten: %v, %w", f, err)
	}
	_, err = conn.Write(wire.Encode(true, wire.Close(1012, "")))
	return err
}

// wantsErrno lets pass what a client sees of a listener that closes: with TLS,
// before there can be an answer, the end of the connection.
func wantsErrno(err error) error {
	if *overTLS && errors.Is(err, io.EOF) {
		return nil
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// servesEcho is an upstream that accepts every handshake and answers every Close.
func (r *rig) servesEcho() {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := r.service.Accept()
		if err != nil {
			return
		}
		if r.tls.upstream {
			conn = tls.Server(conn, serverTLS())
		}
		wg.Go(func() { echoesOne(conn) })
	}
}

func echoesOne(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if _, err := conn.Write([]byte(wire.Answer(req))); err != nil {
		return
	}
	p := &peer{name: "upstream", in: in}
	for {
		f, err := p.reads()
		if err != nil {
			return
		}
		if _, err := conn.Write(wire.Encode(false, f)); err != nil || f.Op == ws.OpClose {
			return
		}
	}
}

// During the delay clients are served as before, and the last answer of each page
// connection is its last. A second signal ends the delay.
func TestDelayBeforeAShutdown(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx, second := context.WithCancel(t.Context())
	cut := make(chan int, 1)
	r.stopped = true
	go func() {
		n, err := r.server.Shutdown(ctx, proxy.Stop{Delay: endless, Spread: endless, Timeout: endless})
		if err != nil {
			t.Error(err)
		}
		cut <- n
	}()
	r.eventually("it is not ready", r.server.Draining)
	client, upstream := r.opens()
	client.sends(wire.Text("hello"))
	upstream.wants("data", wire.Text("hello"))
	asking, service := r.dials(), (*peer)(nil)
	asking.sendsString("GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
	service = r.accepts()
	service.wantsRequest()
	service.sendsString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	answer, err := http.ReadResponse(asking.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "ok" || !answer.Close {
		t.Errorf("a page says %q, %v, and the connection ends with it: %v", body, err, answer.Close)
	}
	second()
	client.wantsClose("it is cut", 1012)
	upstream.wantsClose("it is cut", 1001)
	if n := <-cut; n != 1 {
		t.Errorf("%d sessions were cut, want the one that lived", n)
	}
	if err := <-r.ran; err != nil {
		t.Error(err)
	}
}

// A drain without a stop ends sessions and page connections. Whoever asks afterwards is
// refused, with TLS as without it, until the server stops.
func TestDrainWithoutAStop(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				if secure {
					secureLegs(cfg)
				}
			})
			client, upstream := r.opens()
			var service sync.WaitGroup
			service.Go(func() { r.servesPages(1) })
			idle := r.dials()
			idle.sendsString(wire.Head("GET /page HTTP/1.1", "Host: x"))
			answer, err := http.ReadResponse(idle.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Fatal(err)
			}
			service.Wait()

			r.server.Drain(proxy.Stop{Timeout: endless})
			client.wantsClose("the proxy drains", 1012)
			upstream.wantsClose("the proxy drains", 1001)
			client.hangsUp()
			upstream.hangsUp()
			idle.wantsEnd("it has no request")
			<-r.server.Drained()
			for _, request := range []string{wire.Request(), wire.Head("GET /page HTTP/1.1", "Host: x")} {
				late := r.dials()
				late.sendsString(request)
				late.wantsRefusal("the proxy drains", 503)
				late.hangsUp()
			}
			if cut := r.shutdown(patience); cut != 0 {
				t.Errorf("%d sessions were cut though all had ended", cut)
			}
			if _, err := net.Dial("tcp", r.server.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a stopped Server is dialled: %v", err)
			}
			r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped proxy drain": 1, "draining": 2})
		})
	}
}
