package web_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

const (
	// stall is after how long a request without progress is ended.
	stall = 5 * time.Minute
	// almost is a pause that a request survives.
	almost = stall - time.Second
)

// A lull is one client's connection and one upstream's, by invented time and over pipes,
// which hold nothing: what is written has been read.
type lull struct {
	*testing.T
	server  *web.Server
	client  *peer
	dialled chan net.Conn
	log     bytes.Buffer
}

// lulls plays a conversation that begins with a request.
func lulls(t *testing.T, request string, play func(l *lull)) {
	t.Helper()
	lullsFor(t, stall, request, play)
}

// lullsFor is lulls with another limit for a request without progress.
func lullsFor(t *testing.T, limit time.Duration, request string, play func(l *lull)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lull{T: t, dialled: make(chan net.Conn, 1)}
		l.server = web.New(web.Config{
			Upstream: func(*upgrade.Request, netip.Addr) web.Upstream {
				return web.Upstream{Dial: dialling(l.dial, theOrigin)}
			},
			Trust:            &forwarded.Trust{},
			HandshakeTimeout: time.Minute, HTTPTimeout: limit, MaxHeaderSize: 32 << 10,
			Log: slog.New(slog.NewTextHandler(&l.log, nil)), Count: func(int) {}, Gone: func(*web.Guest) {},
		})
		near, far := net.Pipe()
		l.client = l.peer("client", near)
		l.server.Serve(&web.Guest{Conn: far, Early: []byte(request), From: from})
		play(l)
		near.Close()
		l.server.Shutdown(context.Background())
	})
}

func (l *lull) dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	l.dialled <- far
	return near, nil
}

func (l *lull) peer(name string, conn net.Conn) *peer {
	return &peer{t: l.T, name: name, conn: conn, in: bufio.NewReader(conn)}
}

// accepts is the upstream's end of a new connection, on which a head has come.
func (l *lull) accepts() *peer {
	upstream := l.peer("upstream", <-l.dialled)
	upstream.wantsHead()
	return upstream
}

// wantsStall wants to have waited for so long as a request may make no progress.
func (l *lull) wantsStall(since time.Time) {
	l.Helper()
	if took := time.Since(since); took != stall {
		l.Errorf("the request was ended after %v without progress, want %v", took, stall)
	}
}

// wantsLogged wants the log to be empty, or to have one line that contains a text.
func (l *lull) wantsLogged(text string) {
	l.Helper()
	l.client.hangsUp()
	l.server.Shutdown(context.Background())
	if got := l.log.String(); text == "" && got != "" || !strings.Contains(got, text) || strings.Count(got, "\n") > 1 {
		l.Errorf("the log wants one line with %q, or none; it has:\n%s", text, got)
	}
}

const upload = post + "Content-Length: 10\r\n\r\n"

func TestUploadMayPause(t *testing.T) {
	t.Parallel()
	lulls(t, upload, func(l *lull) {
		upstream := l.accepts()
		for _, digit := range "0123456789" {
			time.Sleep(almost)
			l.client.sends(string(digit))
			upstream.wants("what has come goes on", string(digit))
		}
		time.Sleep(almost)
		upstream.sends(ok)
		l.client.wantsAnswer("every pause was short enough", http.StatusOK)
		l.wantsLogged("")
	})
}

func TestUploadThatStopsComing(t *testing.T) {
	t.Parallel()
	lulls(t, upload, func(l *lull) {
		upstream := l.accepts()
		time.Sleep(almost)
		l.client.sends("x")
		upstream.wants("the piece", "x")
		since := time.Now()
		l.client.wantsAnswer("nine bytes are missing", http.StatusRequestTimeout)
		l.wantsStall(since)
		l.client.wantsEnd("the rest of the body is not to be taken for a request")
		upstream.wantsEnd("its request is not completed")
		l.wantsLogged("")
	})
}

// A client that still takes an answer may pause its upload for as long as it likes.
func TestUploadMayPauseDuringAnAnswer(t *testing.T) {
	t.Parallel()
	lulls(t, upload, func(l *lull) {
		upstream := l.accepts()
		upstream.sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		answer := l.client.begins(http.MethodPost)
		for range 3 {
			time.Sleep(almost)
			upstream.sends(chunk("data"))
			if _, err := io.ReadFull(answer.Body, make([]byte, len("data"))); err != nil {
				t.Fatal(err)
			}
		}
		l.client.sends("0123456789")
		upstream.wants("the upload goes on", "0123456789")
		upstream.sends("0\r\n\r\n")
		if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
			t.Errorf("the answer is whole, got %q, %v", rest, err)
		}
		l.wantsLogged("")
	})
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	lulls(t, get, func(l *lull) {
		for range 2 {
			upstream := l.accepts()
			time.Sleep(almost)
			upstream.sends(ok)
			l.client.wantsAnswer("it came in time", http.StatusOK)
			time.Sleep(time.Minute) // between requests; nothing of the one before may end the next
			l.client.sends(get)
		}
		upstream := l.accepts()
		since := time.Now()
		l.client.wantsAnswer("the upstream says nothing", http.StatusGatewayTimeout)
		l.wantsStall(since)
		upstream.wantsEnd("nobody waits for its answer any more")
		l.client.sends(get)
		l.accepts().sends(ok)
		l.client.wantsAnswer("the connection goes on", http.StatusOK)
		l.wantsLogged("HOLDFAST_HTTP_TIMEOUT")
	})
}

func TestSilentEvents(t *testing.T) {
	t.Parallel()
	lulls(t, get, func(l *lull) {
		upstream := l.accepts()
		upstream.sends("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		answer := l.client.begins(http.MethodGet)
		for range 3 {
			time.Sleep(almost)
			upstream.sends("data: 1\n\n")
			if _, err := io.ReadFull(answer.Body, make([]byte, len("data: 1\n\n"))); err != nil {
				t.Fatal(err)
			}
		}
		since := time.Now()
		l.client.wantsCut("no event comes", answer)
		l.wantsStall(since)
		upstream.wantsEnd("its answer was cut")
		l.wantsLogged("answer cut short: nothing moved for HOLDFAST_HTTP_TIMEOUT")
	})
}

func TestUpstreamThatTakesNoBody(t *testing.T) {
	t.Parallel()
	lulls(t, post+"Content-Length: 1000000\r\n\r\n"+strings.Repeat("x", 10_000), func(l *lull) {
		l.accepts() // and reads no more
		since := time.Now()
		l.client.wantsAnswer("the upstream takes nothing", http.StatusGatewayTimeout)
		l.wantsStall(since)
		l.wantsLogged("HOLDFAST_HTTP_TIMEOUT")
	})
}

func TestClientThatTakesNoAnswer(t *testing.T) {
	t.Parallel()
	lulls(t, get, func(l *lull) {
		upstream := l.accepts()
		// It has no length, and its head comes first: otherwise a timer of ReverseProxy's
		// waits for a mutex, which stops the invented time.
		upstream.sends("HTTP/1.1 200 OK\r\n\r\n")
		answer := l.client.begins(http.MethodGet)
		synctest.Wait()
		go pours(upstream, strings.Repeat("x", 1_000_000))
		time.Sleep(almost)
		if _, err := io.ReadFull(answer.Body, make([]byte, 100_000)); err != nil {
			t.Fatalf("the pause was short enough, but: %v", err)
		}
		time.Sleep(stall + time.Second)
		l.client.wantsCut("it took nothing for so long", answer)
		l.wantsLogged("")
	})
}

// unread is more than the buffers of a loopback connection take.
var unread = strings.Repeat("x", 64<<20)

// pours writes until all is written or the other end takes no more.
func pours(p *peer, s string) { _, _ = io.WriteString(p.conn, s) }

// A stop cuts a request whose body the upstream does not take, too.
func TestShutdownCutsWhatIsBlocked(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens("POST /upload HTTP/1.1\r\nHost: service.example\r\nContent-Length: 67108864\r\n\r\n")
	r.accepts() // and never reads
	go pours(client, unread)
	r.shutdown(0)
}
