package web_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// A head's time runs from its first byte on, however its bytes come, and its client
// is told why the connection ends.
func TestHeadIsTimedFromItsFirstByte(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Second
	for _, pieces := range [][]string{{"G"}, {"GET"}, {"GET "}, {"G", "ET /a"}, {"G", "E", "T"}, {"GET /a HTTP/1.1\r\n", "Host"},
		{"GET /a HTTP/1.1"}, {"GET /a HTTP/1.1\r\n"}, {"GET /a HTTP/1.1\r\nHost: h\r\n"}} {
		synctest.Test(t, func(t *testing.T) {
			server := newSlowHeadServer(limit, noUpstream)
			client := guestOf(t, server, get)
			client.wantsAnswer("the first head was whole", http.StatusServiceUnavailable)
			time.Sleep(time.Minute) // it may be idle for so long
			began := time.Now()
			for i, piece := range pieces {
				if i > 0 {
					time.Sleep(limit / 3)
				}
				client.sends(piece)
			}
			client.wantsAnswer("the rest does not come", http.StatusRequestTimeout)
			if took := time.Since(began); took != limit {
				t.Errorf("%q: the head was waited for for %v, want %v", pieces, took, limit)
			}
			if rest, err := io.ReadAll(client.in); err != nil || len(rest) > 0 {
				t.Errorf("%q: the connection ends, got %q, %v", pieces, rest, err)
			}
			server.Shutdown(context.Background())
		})
	}
}

// The first byte of a head may come while the request before is still answered. The time
// of that head runs from the end of the answer on.
func TestHeadThatBeginsDuringAnAnswerIsTimed(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		server := newSlowHeadServer(limit, func(ctx context.Context) (net.Conn, error) {
			<-answer
			return noUpstream(ctx)
		})
		client := guestOf(t, server, get)
		client.sends("G") // which is taken at once: a pipe holds nothing
		close(answer)
		client.wantsAnswer("the first head was whole", http.StatusServiceUnavailable)
		began := time.Now()
		client.wantsAnswer("the rest of the second does not come", http.StatusRequestTimeout)
		if took := time.Since(began); took != limit {
			t.Errorf("the head was waited for for %v, want %v", took, limit)
		}
		if rest, err := io.ReadAll(client.in); err != nil || len(rest) > 0 {
			t.Errorf("the connection ends, got %q, %v", rest, err)
		}
		server.Shutdown(context.Background())
	})
}

// A head may begin in the segment of the request before. Its time runs from the end of
// that request's answer on.
func TestHeadThatBeginsBehindARequestIsTimed(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Second
	for _, piece := range []string{"G", "GET ", "GET /a HTTP/1.1\r\nHost: h\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			server := newSlowHeadServer(limit, noUpstream)
			client := guestOf(t, server, get+piece)
			began := time.Now()
			client.wantsAnswer("the first head was whole", http.StatusServiceUnavailable)
			client.wantsAnswer("the rest of the second does not come", http.StatusRequestTimeout)
			if took := time.Since(began); took != limit {
				t.Errorf("%q: the head was waited for for %v, want %v", piece, took, limit)
			}
			client.wantsEnd("it was the last")
			server.Shutdown(context.Background())
		})
	}
	synctest.Test(t, func(t *testing.T) {
		server := newSlowHeadServer(limit, noUpstream)
		client := guestOf(t, server, get+get)
		client.wantsAnswer("the first", http.StatusServiceUnavailable)
		client.wantsAnswer("the second, which was whole", http.StatusServiceUnavailable)
		time.Sleep(time.Minute) // it may be idle for so long
		client.sends(get)
		client.wantsAnswer("the third", http.StatusServiceUnavailable)
		server.Shutdown(context.Background())
	})
}

func newSlowHeadServer(limit time.Duration, dial func(context.Context) (net.Conn, error)) *web.Server {
	return web.New(web.Config{
		Upstream: func(*upgrade.Request, netip.Addr) web.Upstream {
			return web.Upstream{Dial: dialling(dial, theOrigin)}
		},
		Trust:            &forwarded.Trust{},
		HandshakeTimeout: limit, HTTPTimeout: limit, MaxHeaderSize: 32 << 10,
		Log: slog.New(slog.DiscardHandler), Count: func(int) {}, Gone: func(*web.Guest) {},
	})
}

// guestOf gives the server a connection on which early has come.
func guestOf(t *testing.T, server *web.Server, early string) *peer {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	server.Serve(&web.Guest{Conn: far, Early: []byte(early), From: from})
	return &peer{t: t, name: "client", conn: near, in: bufio.NewReader(near)}
}

func noUpstream(context.Context) (net.Conn, error) {
	return nil, &web.Undialled{Err: io.EOF, Refusal: &upgrade.Refusal{Status: http.StatusServiceUnavailable, Reason: "It is down."}}
}
