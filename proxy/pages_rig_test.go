package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

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

func TestPlainRequestRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.RefuseHTTP = true })
	client := r.dials()
	client.sendsString(page + smuggled)
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
	r := newRig(t, nil)
	r.ends.Timeout = moment
	client, upstream, _ := r.asksUpstream(wire.Head("GET /events HTTP/1.1", "Host: service.example"))
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
		cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: full}
		cfg.DialTimeout = endless
	})
	r.ends.Timeout = moment
	client := r.dials()
	client.sendsString(page)
	r.eventually("the page is being dialled for", func() bool { return r.server.PlacesToDial() < proxy.DialsAtOnce })
	if cut := r.shutdown(patience); cut != 0 {
		t.Errorf("%d sessions were cut where there was none", cut)
	}
	client.wantsEnd("its request was cut")
}

// Clients that ask for pages take no session from others, and get none beyond the limit.
// Sessions take no page from others either.
func TestPagesTakeNoSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.MaxSessions = 1 })
	var readers []*peer
	for range 3 {
		reader := r.dials()
		r.getsPage(reader)
		readers = append(readers, reader)
	}
	r.opens()
	r.getsPage(r.dials())
	r.getsPage(readers[1])
	readers[0].sendsString(wire.Request())
	refused, err := http.ReadResponse(readers[0].in, nil)
	if err != nil || refused.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one session too many: %v, %v, want a 503", refused, err)
	}
}

// The kernel does not end a page's connections before HTTPTimeout: it counts a peer that
// acknowledges and has no room. A session on the same connection has the bound of sessions
// again.
func TestKernelBearsPauses(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.TCPUserTimeout = time.Minute
		cfg.HTTPTimeout = time.Hour
	})
	const page, session = 3_610_000, 60_000
	client := r.dials()
	client.sendsString(wire.Head("GET /page HTTP/1.1", "Host: service.example"))
	upstream := r.accepts()
	if _, err := http.ReadRequest(upstream.in); err != nil {
		t.Fatal(err)
	}
	wantsUserTimeout(t, "a page's client", client, page)
	wantsUserTimeout(t, "a page's upstream", upstream, page)
	upstream.sendsString(wire.Head("HTTP/1.1 200 OK", "Content-Length: 0"))
	if _, err := http.ReadResponse(client.in, nil); err != nil {
		t.Fatal(err)
	}
	upstream.conn.Close()
	client.sendsString(wire.Request())
	upstream = r.accepts()
	upstream.sendsString(wire.Answer(upstream.wantsRequest()))
	client.wantsSwitch()
	wantsUserTimeout(t, "a session's client", client, session)
	wantsUserTimeout(t, "a session's upstream", upstream, session)
}

// wantsUserTimeout asks the socket at the far end of a peer's connection, which is this
// process's too.
func wantsUserTimeout(t *testing.T, whose string, p *peer, milliseconds int) {
	t.Helper()
	far, near := p.conn.RemoteAddr().String(), p.conn.LocalAddr().String()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if nameOf(unix.Getsockname(fd)) != far || nameOf(unix.Getpeername(fd)) != near {
			continue
		}
		if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != milliseconds || err != nil {
			t.Errorf("%s: TCP_USER_TIMEOUT is %d, %v, want %d", whose, got, err, milliseconds)
		}
		return
	}
	t.Errorf("%s: no descriptor has its connection", whose)
}

// nameOf is the address of a socket as net writes it.
func nameOf(address unix.Sockaddr, err error) string {
	four, ok := address.(*unix.SockaddrInet4)
	if err != nil || !ok {
		return ""
	}
	return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), uint16(four.Port)).String()
}

// getsPage plays both ends of a request for a page, and reads the page.
func (r *rig) getsPage(client *peer, fields ...string) {
	r.t.Helper()
	client.sendsString(pageFor(fields...))
	r.servesPages(1)
	page, err := http.ReadResponse(client.in, nil)
	if err != nil {
		r.t.Fatalf("no page: %v", err)
	}
	if _, err := io.Copy(io.Discard, page.Body); err != nil || page.StatusCode != http.StatusOK {
		r.t.Fatalf("the page is %s, %v", page.Status, err)
	}
}

// wantsIdle waits until so many page connections wait for their next request.
func (r *rig) wantsIdle(n int) {
	r.t.Helper()
	r.eventually(fmt.Sprint(n, " idle pages"), func() bool { return r.server.IdlePages() == n })
}

// page is the request for one.
var page = pageFor()

// pageFor is a request for a page with fields added.
func pageFor(fields ...string) string {
	return wire.Head("GET /page HTTP/1.1", append(fields, "Host: service.example")...)
}
