//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/blackbox"
	"holdfast/internal/wire"
)

// SIGTERM under sessions: for a while only /readyz shows it, and new clients are served.
// Then the listener is closed, and each session gets its Close at a moment of its own.
func TestDrainIsSpread(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const sessions, delay, spread = 60, 2 * time.Second, 6 * time.Second
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_DRAIN_DELAY="+delay.String(), "HOLDFAST_DRAIN_SPREAD="+spread.String())
	client := startClient(t, python)
	for i := range sessions {
		client.connects(proxy.url, command{ID: strconv.Itoa(i)})
	}
	proxy.Signal(syscall.SIGTERM)
	proxy.Until("it is not ready", func() bool {
		answer, err := http.Get(proxy.Admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusServiceUnavailable
	})
	client.connects(proxy.url, command{ID: "late"})
	client.echoes("late", hello)
	var told []time.Time
	for i := range sessions {
		client.wantsClosed(strconv.Itoa(i), 1012, "proxy is shutting down")
		told = append(told, time.Now())
	}
	client.wantsClosed("late", 1012, "proxy is shutting down")
	if took := slices.MaxFunc(told, time.Time.Compare).Sub(slices.MinFunc(told, time.Time.Compare)); took < spread/2 {
		t.Errorf("all sessions were told within %v, want them spread over %v", took, spread)
	}
	if code := proxy.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
}

// Thousands of clients are not told all at once: no tenth of the spread has more than twice
// its share. On a machine that stalls, what falls due meanwhile comes when the stall is
// over; that much more is allowed. The test does not run beside others, since it compares
// moments. The proxy and this process need 10,000 descriptors each.
func TestDrainOfThousands(t *testing.T) {
	needsProxy(t)
	const sessions, spread, parts = 5000, 15 * time.Second, 10
	const share, part = sessions / parts, spread / parts
	upstream := rawServices(t, nil, func(p *rawPeer) {
		_, _ = p.untilClosed() // the client tells what went wrong
	})
	proxy := startHoldfast(t, upstream, "HOLDFAST_LOG_LEVEL=info", "HOLDFAST_DRAIN_SPREAD="+spread.String())
	clients := crowd(t, proxy.address(), sessions)
	ends := make(chan rawEnd, sessions)
	for _, client := range clients {
		go func() { ends <- client.staysUntilTold() }()
	}
	began := time.Now()
	proxy.Signal(syscall.SIGTERM)
	told, stall := make([]int, parts), time.Duration(0)
	ticks, last := time.NewTicker(pause), began
	defer ticks.Stop()
	for left := sessions; left > 0; {
		select {
		case end := <-ends:
			if end.err != nil {
				t.Fatal(end.err)
			}
			told[min(int(end.at.Sub(began)/part), parts-1)]++
			left--
		case now := <-ticks.C:
			stall, last = max(stall, now.Sub(last)), now
		}
	}
	t.Logf("clients told in each tenth of the spread: %v; the longest stall took %v", told, stall)
	if most := slices.Max(told); most > 2*share+int(share*stall/part) {
		t.Errorf("in one tenth of the spread %d of %d clients are told: %v", most, sessions, told)
	}
	if code := proxy.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
}

// pause is the time between two looks at whether the machine stalls.
const pause = 10 * time.Millisecond

// What a drain finds under way is finished: a frame in either direction, which no Close
// cuts, and a download. A client that never answers its Close does not make it a failure.
func TestDrainFinishesWhatIsUnderWay(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const half = "half of the page;"
	goOn := make(chan struct{})
	page := func(conn net.Conn) {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 2*len(half), half)
		<-goOn
		io.WriteString(conn, half)
	}
	upstream, services := heldServices(t, page)
	proxy := startHoldfast(t, upstream, "HOLDFAST_CLOSE_TIMEOUT=5s", "HOLDFAST_PING_INTERVAL=0s")
	opens := func(name string) (client, service *rawPeer) {
		client = opensRaw(t, name, proxy)
		return client, <-services
	}
	frame := wire.Binary("this frame is under way when the drain begins")
	sent, received := wire.Encode(true, frame), wire.Encode(false, frame)

	sender, itsService := opens("the sender")
	sender.sendsBytes(t, sent[:20])
	itsService.wantsBytes(t, "the first part of the frame", sent[:20])
	receiver, itsSender := opens("the receiver")
	itsSender.sendsBytes(t, received[:20])
	receiver.wantsBytes(t, "the first part of the frame", received[:20])
	stubborn, deserted := opens("the stubborn one")
	download := get(t, proxy.web()+"/page")
	begun := make([]byte, len(half))
	if _, err := io.ReadFull(download, begun); err != nil || string(begun) != half {
		t.Fatalf("the page begins with %q (%v)", begun, err)
	}

	proxy.Signal(syscall.SIGTERM)
	toClient, toService := wire.Close(1012, "proxy is shutting down"), wire.Close(1001, "proxy is shutting down")
	stubborn.wants(t, "the proxy stops", toClient)
	deserted.wants(t, "the proxy stops", toService)
	deserted.leaves(t, 1001)
	sender.wants(t, "no frame is under way to it", toClient)
	sender.sendsBytes(t, sent[20:])
	itsService.wantsBytes(t, "the rest of the frame, and no Close inside it", sent[20:])
	itsService.wants(t, "the frame has ended", toService)
	itsSender.wants(t, "no frame is under way to it", toService)
	itsSender.sendsBytes(t, received[20:])
	receiver.wantsBytes(t, "the rest of the frame, and no Close inside it", received[20:])
	receiver.wants(t, "the frame has ended", toClient)
	for _, client := range []*rawPeer{sender, receiver} {
		client.leaves(t, 1012)
	}
	for _, service := range []*rawPeer{itsService, itsSender} {
		service.leaves(t, 1001)
	}
	close(goOn)
	if rest, err := io.ReadAll(download); err != nil || string(rest) != half {
		t.Errorf("the page goes on with %q (%v)", rest, err)
	}
	if code := proxy.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
	stubborn.wantsEnd(t, "nobody waits for its answer any more")
}

// get asks for a page and returns its body.
func get(t *testing.T, url string) io.Reader {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response.Body
}

// A second signal does not wait for the spread. It cuts sessions that live, which is a
// failure of the exit.
func TestSecondSignalCuts(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	upstream, services := heldServices(t, nil)
	proxy := startHoldfast(t, upstream, "HOLDFAST_DRAIN_SPREAD=24h", "HOLDFAST_PING_INTERVAL=0s")
	client := opensRaw(t, "the client", proxy)
	service := <-services
	proxy.Signal(syscall.SIGTERM)
	proxy.Until("it accepts no more", func() bool {
		conn, err := net.Dial("tcp", proxy.address())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	client.sends(t, wire.Text("its moment has not come"))
	service.wants(t, "the session goes on", wire.Text("its moment has not come"))

	proxy.Signal(syscall.SIGTERM)
	if code := proxy.WantsEnd(); code != 1 {
		t.Errorf("holdfast ended with exit code %d, want 1: a session was cut", code)
	}
	client.wants(t, "it is told why", wire.Close(1012, "proxy is shutting down"))
	client.wantsEnd(t, "it was cut")
}

// A session cannot be told its end while its client reads nothing of what waits for it. It is
// cut when the drain's time is up, which is a failure of the exit.
func TestDrainTimeoutCuts(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const timeout = 2 * time.Second
	upstream, services := heldServices(t, nil)
	proxy := startHoldfast(t, upstream, "HOLDFAST_DRAIN_TIMEOUT="+timeout.String(), "HOLDFAST_WRITE_TIMEOUT=24h", "HOLDFAST_PING_INTERVAL=0s")
	opensRaw(t, "the client that does not read", proxy)
	service := <-services
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for service.writes(wire.Binary(strings.Repeat("x", 64<<10))) == nil {
		}
	}()
	proxy.WantsMetric(blackbox.OfSide("holdfast_reads_paused", "upstream"), 1)

	began := time.Now()
	proxy.Signal(syscall.SIGTERM)
	if begin := proxy.logs("that it drains", func(l logLine) bool { return l.Msg == "draining" }); begin.AtMost != timeout.Seconds() {
		t.Errorf("the log says that the drain takes %v s at most, want %v", begin.AtMost, timeout)
	}
	service.wants(t, "nothing waits for the service", wire.Close(1001, "proxy is shutting down"))
	if code := proxy.WantsEnd(); code != 1 {
		t.Errorf("holdfast ended with exit code %d, want 1: a session was cut", code)
	}
	if took := time.Since(began); took < timeout {
		t.Errorf("holdfast ended %v after the signal, want %v for the session", took, timeout)
	}
	if end := proxy.logs("that it ends", func(l logLine) bool { return l.Msg == "holdfast ends" }); end.Cut != 1 {
		t.Errorf("the log says that %d sessions were cut, want 1", end.Cut)
	}
	<-sent
}

// The admin listener drains as SIGTERM does, and the process lives on: clients that come
// later are told 503. A SIGTERM on the way goes on with the moments that are left.
func TestSignalAfterADrain(t *testing.T) {
	needsProxy(t)
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
		all    bool // the signal comes when all sessions have ended
	}{
		{"SIGTERM behind it", syscall.SIGTERM, true},
		{"SIGTERM on the way", syscall.SIGTERM, false},
		{"SIGINT on the way", syscall.SIGINT, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const sessions, spread = 20, 4 * time.Second
			server := startServer(t, python, serverOptions{})
			proxy := startHoldfast(t, server.url, "HOLDFAST_DRAIN_DELAY=1s", "HOLDFAST_DRAIN_SPREAD="+spread.String())
			client := startClient(t, python)
			for i := range sessions {
				client.connects(proxy.url, command{ID: strconv.Itoa(i)})
			}
			for range 2 {
				answer, err := http.Post(proxy.Admin+"/api/drain", "", nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != http.StatusAccepted || !strings.HasPrefix(string(body), `{"draining":true,"sessions":20,`) {
					t.Fatalf("the drain is answered %s %s, %v", answer.Status, body, err)
				}
			}
			began := time.Now()
			proxy.wantsMetric("holdfast_draining", 1)
			proxy.Until("a client is refused", func() bool {
				answer, err := http.Get(proxy.web())
				if err != nil {
					return false
				}
				answer.Body.Close()
				return answer.StatusCode == http.StatusServiceUnavailable
			})
			if !tc.all {
				proxy.Signal(tc.signal)
			}
			for i := range sessions {
				client.wantsClosed(strconv.Itoa(i), 1012, "proxy is shutting down")
			}
			took := time.Since(began)
			if hurried := tc.signal == syscall.SIGINT; !hurried && took < spread/2 {
				t.Errorf("all sessions were told within %v, want them spread over %v", took, spread)
			}
			if tc.all {
				proxy.logs("that the drain is over", func(l logLine) bool { return strings.HasPrefix(l.Msg, "drained") })
				proxy.Signal(tc.signal)
			}
			if code := proxy.WantsEnd(); code != 0 {
				t.Errorf("holdfast ended with exit code %d", code)
			}
		})
	}
}
