package proxy_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// Both legs over unix sockets: what the proxy makes it removes, and nothing else.
func TestUnixSockets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, servicePath := filepath.Join(dir, "holdfast.sock"), filepath.Join(dir, "service.sock")
	service, err := net.ListenUnix("unix", &net.UnixAddr{Name: servicePath})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	leaveStale(t, path)

	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Listen = "unix:" + path
		cfg.Upstream = &url.URL{Scheme: "unix", Path: servicePath}
	})
	r.tls.upstream = false
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := newPeer(t, "client", secured(r, conn.(*net.UnixConn)))
	client.sendsString(wire.Request())
	far, err := service.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	upstream := newPeer(t, "upstream", far)
	asked := upstream.wantsRequest()
	if got := asked.Header.Get("X-Forwarded-For"); got != "" {
		t.Errorf("X-Forwarded-For is %q for a client that has no address", got)
	}
	upstream.sendsString(wire.Answer(asked))
	client.wantsSwitch()
	client.sends(wire.Text("hello"))
	upstream.wants("over unix sockets", wire.Text("hello"))

	if other, err := proxy.New(proxy.Config{
		Listen: "unix:" + path, Upstream: &url.URL{Scheme: "unix", Path: servicePath}, Log: slog.New(slog.DiscardHandler), Metrics: r.metrics,
	}); err == nil {
		_, _ = other.Shutdown(t.Context())
		t.Error("a socket that somebody listens on was taken away from them")
	}
	conn.Close()
	far.Close()
	r.wantsNoSessions()
	if cut := r.shutdown(patience); cut != 0 {
		t.Errorf("%d sessions were cut", cut)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// A socket that another process has put in the place of ours is theirs, and stays.
func TestUnixSocketOfAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "holdfast.sock")
	r := newRig(t, func(cfg *proxy.Config) { cfg.Listen = "unix:" + path })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r.shutdown(patience)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the socket of another was removed: %v", err)
	}
	conn.Close()
}

// leaveStale leaves the socket of a process that is gone.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func secured(r *rig, conn stream) stream {
	if r.tls.client {
		return tls.Client(conn, clientTLS())
	}
	return conn
}

// A listening socket that somebody else made, as systemd does.
func TestListenFile(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := newRig(t, func(cfg *proxy.Config) { cfg.ListenFile, cfg.Listen = file, "systemd:holdfast" })
	if r.server.Addr().String() != l.Addr().String() {
		t.Errorf("listens on %v, want %v", r.server.Addr(), l.Addr())
	}
	client, upstream := r.opens()
	client.sends(wire.Text("hello"))
	upstream.wants("through a socket that was given", wire.Text("hello"))
}

func TestTLSHandshakesThatFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		sends  string
		then   func(*peer)
		result string
	}{
		{"plain HTTP", wire.Request(), func(p *peer) { p.wantsRefusal("it speaks no TLS", http.StatusBadRequest) }, "bad_request"},
		{"another record", "\x17\x03\x03\x00\x01\x00", nil, "bad_request"},
		{"a record that is too long", "\x16\x03\x01\xff\xff", nil, "bad_request"},
		{"half a record", "\x16\x03\x01\x02\x00\x01", nil, "timeout"},
		{"silence", "", nil, "timeout"},
		{"gone at once", "", (*peer).hangsUp, "client_gone"},
		{"gone within", "\x16\x03\x01\x02\x00\x01", (*peer).hangsUp, "client_gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				secureClient(cfg)
				if c.result == "timeout" {
					cfg.HandshakeTimeout = moment
				}
			})
			r.tls.client = false // the test does it by hand
			client := r.dials()
			client.sendsString(c.sends)
			if c.then != nil {
				c.then(client)
			}
			r.wantsCounts(counts{c.result: 1})
			r.wantsNoDial(c.name)
		})
	}
}

func TestUpstreamTLSThatFails(t *testing.T) {
	t.Parallel()
	distrustful := func() *tls.Config { return &tls.Config{ServerName: "127.0.0.1"} }
	for _, c := range []struct {
		name   string
		config func() *tls.Config
		does   func(*testing.T, net.Conn)
		status int
		result string
	}{
		{"a certificate that nobody vouches for", distrustful, shakesHands, http.StatusBadGateway, "upstream_unreachable"},
		{"another name", func() *tls.Config { c := clientTLS(); c.ServerName = "other.example"; return c }, shakesHands, http.StatusBadGateway, "upstream_unreachable"},
		{"no TLS", clientTLS, func(_ *testing.T, c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, http.StatusBadGateway, "upstream_unreachable"},
		{"the end", clientTLS, func(_ *testing.T, c net.Conn) { c.Close() }, http.StatusBadGateway, "upstream_unreachable"},
		{"silence", clientTLS, func(*testing.T, net.Conn) {}, http.StatusGatewayTimeout, "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				secureUpstream(cfg)
				cfg.UpstreamTLS = c.config
				cfg.DialTimeout = patience
				if c.result == "timeout" {
					cfg.DialTimeout = moment
				}
			})
			r.tls.upstream = false // the test does it by hand
			client := r.dials()
			client.sendsString(wire.Request())
			c.does(t, r.accepts().conn)
			client.wantsRefusal(c.name, c.status)
			r.wantsCounts(counts{c.result: 1})
		})
	}
}

func shakesHands(_ *testing.T, conn net.Conn) {
	_ = tls.Server(conn, serverTLS()).Handshake() // it is the other side that objects
}

// An address whose TLS fails is one that failed: the next is tried.
func TestNextAddressAfterTLSFailed(t *testing.T) {
	t.Parallel()
	brokenIP, soundIP := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	r := newRig(t, func(cfg *proxy.Config) {
		secureUpstream(cfg)
		cfg.Upstream.Host = "service.example:" + cfg.Upstream.Port()
		cfg.FindBy(func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{brokenIP, soundIP}, nil })
	})
	port := r.service.Addr().(*net.TCPAddr).AddrPort().Port()
	broken, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(brokenIP, port)))
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	client := r.dials()
	client.sendsString(wire.Request())
	conn, err := broken.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	upstream := r.accepts()
	upstream.sendsString(wire.Answer(upstream.wantsRequest()))
	client.wantsSwitch()
}

// TLS with one leg only, in either combination.
func TestTLSOnOneLeg(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*proxy.Config){"client": secureClient, "upstream": secureUpstream} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, change)
			client, upstream := r.opens()
			client.sends(wire.Text("to the upstream"))
			upstream.wants(name, wire.Text("to the upstream"))
			upstream.sends(wire.Text("to the client"))
			client.wants(name, wire.Text("to the client"))
			upstream.sends(wire.Close(4000, "done"))
			client.wants(name, wire.Close(4000, "done"))
			client.sends(wire.Close(4000, "done"))
			upstream.wants(name, wire.Close(4000, "done"))
			client.wantsEnd("close_notify, after all that was said")
			client.hangsUp()
			upstream.hangsUp()
			r.wantsCounts(counts{"ok": 1, "opened": 1, "closed upstream": 1})
		})
	}
}

// A page, and then a session, on one connection: and whatever the client sent
// behind its request comes with it.
func TestUpgradeAfterPlainRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var service sync.WaitGroup
	service.Go(func() { r.servesPages(2) })
	client := r.dials()
	for range 2 {
		client.sendsString(wire.Head("GET /page?a=%2F HTTP/1.1", "Host: service.example"))
		resp, err := http.ReadResponse(client.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "/page?a=%2F" {
			t.Fatalf("the page is %q, %v", body, err)
		}
	}
	service.Wait()
	client.sendsBytes(append([]byte(wire.Request()), wire.Encode(true, wire.Text("early"))...))
	upstream := r.accepts()
	upstream.sendsString(wire.Answer(upstream.wantsRequest()))
	client.wantsSwitch()
	upstream.wants("sent with the request", wire.Text("early"))
	upstream.sends(wire.Text("and back"))
	client.wants("after pages", wire.Text("and back"))
	client.hangsUp()
	upstream.wantsClose("the client is gone", 1001)
	upstream.hangsUp()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client eof": 1})
	if n := r.metric("http_requests_total{2xx}"); n != 2 {
		t.Errorf("%d requests were counted, want 2", n)
	}
}

// servesPages answers n requests, on however many connections.
func (r *rig) servesPages(n int) {
	for n > 0 {
		upstream := r.accepts()
		for n > 0 {
			asked, err := http.ReadRequest(upstream.in)
			if err != nil {
				break
			}
			n--
			upstream.sendsString(wire.Head("HTTP/1.1 200 OK", "Content-Length: "+strconv.Itoa(len(asked.RequestURI)), "Connection: close") + asked.RequestURI)
			upstream.conn.Close()
			break
		}
	}
}

// readsPage has a client ask for a page and read it.
func (r *rig) readsPage(client *peer) {
	r.t.Helper()
	client.sendsString(wire.Head("GET /page HTTP/1.1", "Host: service.example"))
	r.servesPages(1)
	page, err := http.ReadResponse(client.in, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, page.Body); err != nil {
		r.t.Fatal(err)
	}
}

func TestPlainRequestRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.RefuseHTTP = true })
	client := r.dials()
	client.sendsString(wire.Head("GET /page HTTP/1.1", "Host: service.example") + smuggled)
	refused, body := client.wantsRefusal("no upgrade", http.StatusUpgradeRequired)
	if refused.Header.Get("Upgrade") != "websocket" || !strings.HasSuffix(body, ".\n") {
		t.Errorf("the refusal is %v %q", refused.Header, body)
	}
	r.wantsCounts(counts{"bad_request": 1})
	r.wantsNoDial("HTTP is refused")
}

// A stop waits for a page that is under way, and cuts one that does not end.
func TestStopWithPageUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.CloseTimeout = moment })
	client := r.dials()
	client.sendsString(wire.Head("GET /events HTTP/1.1", "Host: service.example"))
	upstream := r.accepts()
	upstream.wantsRequest()
	upstream.sendsString(wire.Head("HTTP/1.1 200 OK", "Content-Type: text/event-stream") + "data: 1\n\n")
	if _, err := http.ReadResponse(client.in, nil); err != nil {
		t.Fatal(err)
	}
	if cut := r.shutdown(patience); cut != 0 {
		t.Errorf("%d sessions were cut where there was none", cut)
	}
	_ = client.conn.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, client.in)
}

// A stop cuts a page whose dial does not end.
func TestStopWhileAPageDials(t *testing.T) {
	t.Parallel()
	full := fixture.Deaf(t).String()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Upstream = &url.URL{Scheme: "ws", Host: full}
		cfg.DialTimeout = endless
		cfg.CloseTimeout = moment
	})
	client := r.dials()
	client.sendsString(page)
	r.eventually("the page is being dialled for", func() bool { return r.server.PlacesToDial() < proxy.DialsAtOnce })
	if cut := r.shutdown(patience); cut != 0 {
		t.Errorf("%d sessions were cut where there was none", cut)
	}
	client.wantsEnd("its request was cut")
}

// Who asks for pages takes no session from others, and gets none beyond the limit.
func TestPagesTakeNoSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessions = 1 })
	var readers []*peer
	for range 3 {
		reader := r.dials()
		r.readsPage(reader)
		readers = append(readers, reader)
	}
	r.opens()
	readers[0].sendsString(wire.Request())
	refused, err := http.ReadResponse(readers[0].in, nil)
	if err != nil || refused.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one session too many: %v, %v, want a 503", refused, err)
	}
}
