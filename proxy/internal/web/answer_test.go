package web_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

const get = "GET /a HTTP/1.1\r\n" + host + "\r\n"

// forbiddenTrailer has fields that may be in no trailer; Connection has named X-Hop.
const forbiddenTrailer = "Content-Length: 7\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\nConnection: X-A\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n" +
	"Set-Cookie: a=b\r\nLocation: /b\r\nContent-Type: text/html\r\nSec-WebSocket-Accept: c\r\nX-Hop: 1\r\n" +
	"Forwarded: for=_a\r\nX-Forwarded-For: 6.6.6.6\r\n"

// TestAnswerComesBack: raw bytes from the upstream, exact bytes at the client.
func TestAnswerComesBack(t *testing.T) {
	t.Parallel()
	const date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	tests := []struct {
		why, method, from, to string
		ends                  bool // the upstream ends the connection
		counted               int
	}{{
		why:     "nothing is added, and no type is guessed",
		from:    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + date + "X-A: 1\r\nX-A: 2\r\n\r\n<html>",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + date + "X-A: 1\r\nX-A: 2\r\n\r\n<html>",
		counted: 200,
	}, {
		why:     "compressed bytes are bytes",
		from:    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n" + date + "\r\n\x1f\x8b\x00\xff",
		to:      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n" + date + "\r\n\x1f\x8b\x00\xff",
		counted: 200,
	}, {
		why:     "chunks, and a trailer",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		counted: 200,
	}, {
		why:     "a trailer that was not announced",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		counted: 200,
	}, {
		why:     "a body that the connection's end ends",
		from:    "HTTP/1.0 200 OK\r\n" + date + "\r\nhello",
		ends:    true,
		to:      "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		counted: 200,
	}, {
		why:     "HEAD",
		method:  "HEAD",
		from:    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + date + "\r\n",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "HEAD of what has no length yet",
		method:  "HEAD",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "204",
		from:    "HTTP/1.1 204 No Content\r\n" + date + "\r\n",
		to:      "HTTP/1.1 204 No Content\r\n" + date + "\r\n",
		counted: 204,
	}, {
		why:     "304",
		from:    "HTTP/1.1 304 Not Modified\r\n" + date + "Etag: \"x\"\r\n\r\n",
		to:      "HTTP/1.1 304 Not Modified\r\n" + date + "Etag: \"x\"\r\n\r\n",
		counted: 304,
	}, {
		why:     "304 says how long a 200 would be (RFC 9110 8.6)",
		from:    "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nContent-Type: text/css\r\n" + date + "\r\n",
		to:      "HTTP/1.1 304 Not Modified\r\n" + date + "content-length: 77\r\ncontent-type: text/css\r\n\r\n",
		counted: 304,
	}, {
		why: "interim answers",
		from: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		to: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why: "hop by hop",
		from: "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n" +
			"Upgrade: h2c\r\nContent-Length: 0\r\n" + date + "\r\n",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "hop by hop, by names that ReverseProxy does not know",
		from:    "HTTP/1.1 200 OK\r\nHTTP2-Settings: AAMAAABk\r\nKeep_Alive: timeout=5\r\nContent-Length: 0\r\n" + date + "\r\n",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why: "hop by hop, in interim answers",
		from: "HTTP/1.1 103 Early Hints\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n" +
			"Upgrade: h2c\r\nContent-Length: 3\r\nTrailer: X-Sum\r\nLink : </a.css>\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		to: "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "what Connection names beside close",
		from:    "HTTP/1.1 200 OK\r\nConnection: close, X-Hop, @\r\nX-Hop: 1\r\nContent-Length: 0\r\n" + date + "\r\n",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "white space before a colon (RFC 9112 5.1)",
		from:    "HTTP/1.1 200 OK\r\nSet-Cookie : x\r\nContent-Length \t: 2\r\nConnection : X-Hop\r\nX-Hop: 1\r\n" + date + "\r\nhi and more",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + date + "Set-Cookie: x\r\n\r\nhi",
		counted: 200,
	}, {
		why:     "folded fields (RFC 9112 5.2)",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Connection: close,\r\n X-Hop\r\nSet-Cookie : x;\n\ty\r\nTransfer-Encoding :\r\n chunked\r\nX-Hop: 1\r\n\r\n2\r\nhi\r\n0\r\nX-Hop: 1\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Set-Cookie: x; \ty\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		counted: 200,
	}, {
		why: "folded fields, in interim answers",
		from: "HTTP/1.1 103 Early Hints\r\nLink: </a>;\r\n rel=preload\r\nConnection : X-Hop\r\nX-Hop: 1\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		to: "HTTP/1.1 103 Early Hints\r\nLink: </a>;   rel=preload\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "very many fields, on short lines",
		from:    "HTTP/1.1 200 OK\n" + strings.Repeat("A:\n", 10_000) + "Connection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n" + date + "\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: \r\n", 10_000) + "Content-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why: "what no trailer may say (RFC 9110 6.5.1)",
		from: "HTTP/1.1 200 OK\r\n" + date + "Connection: close, X-Hop\r\nTrailer: X-Sum, Set-Cookie, X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" +
			forbiddenTrailer + "X-Sum : 1\r\nX-More: 2\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-More: 2\r\nX-Sum: 1\r\n\r\n",
		counted: 200,
	}, {
		why:     "what no trailer may say, even unannounced",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Connection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + forbiddenTrailer + "\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		counted: 200,
	}, {
		why:     "a trailer announces a field of framing, which net/http would refuse",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Trailer: Content-Length, X-Sum\r\nTrailer: Transfer-Encoding\r\nTrailer: trailer\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
		counted: 200,
	}, {
		why:     "a trailer announces nothing else",
		from:    "HTTP/1.1 200 OK\r\n" + date + "Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		to:      "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		counted: 200,
	}, {
		why:     "the upstream's close is not the client's",
		from:    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n" + date + "\r\n",
		to:      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + "\r\n",
		counted: 200,
	}, {
		why:     "426 says to what (RFC 9110 15.5.22)",
		from:    "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n" + date + "\r\n",
		to:      "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n" + date + "Upgrade: websocket\r\nconnection: Upgrade\r\n\r\n",
		counted: 426,
	}, {
		why:     "the upstream's failures are its own to tell",
		from:    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n" + date + "Retry-After: 7\r\n\r\nsoon",
		to:      "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n" + date + "Retry-After: 7\r\n\r\nsoon",
		counted: 503,
	}}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			method := test.method
			if method == "" {
				method = "GET"
			}
			client := r.opens(strings.Replace(get, "GET", method, 1))
			upstream := r.accepts()
			upstream.wantsHead()
			upstream.sends(test.from)
			if test.ends {
				upstream.hangsUp()
			}
			client.wants(test.why, test.to)
			r.shutdown(patience) // which ends the connection: nothing may come behind the answer
			client.wantsEnd(test.why)
			r.wantsCounted(test.counted)
		})
	}
}

// TestAnswerToHTTP10: no chunks, no interim answers, and the connection ends.
func TestAnswerToHTTP10(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"Content-Length: 5\r\n\r\nhello",
	} {
		r := newRig(t, nil)
		client := r.opens("GET /a HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n" + get)
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n" + body)
		answer, got := client.wantsAnswer("RFC 9110 15.2", 200)
		if got != "hello" || !answer.Close || len(answer.TransferEncoding) > 0 {
			t.Errorf("HTTP/1.0 knows an end of the connection only, got %+v", answer)
		}
		client.wantsEnd("HTTP/1.0 is not trusted to have told where its request ends")
	}
}

func TestEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Type: text/event-stream", "Transfer-Encoding: chunked", "Content-Length: 1000"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.opens(get)
			upstream := r.accepts()
			upstream.wantsHead()
			upstream.sends("HTTP/1.1 200 OK\r\n" + framing + "\r\n\r\n")
			answer := client.begins("GET") // before there is a body
			for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
				if strings.HasSuffix(framing, "chunked") {
					upstream.sends("9\r\n" + event + "\r\n")
				} else {
					upstream.sends(event)
				}
				got := make([]byte, len(event))
				if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != event {
					t.Fatalf("the client wants %q before the upstream sends more, got %q, %v", event, got, err)
				}
			}
			client.hangsUp()
			upstream.wantsEnd("the client is gone")
			r.wantsCounted(200)
			if lines := r.warnings(); len(lines) > 0 {
				t.Errorf("a client that goes away is nobody's fault, but there is logged: %s", lines)
			}
		})
	}
}

// TestUpstreamFails: what the client is told instead of an answer.
func TestUpstreamFails(t *testing.T) {
	t.Parallel()
	says := func(answer string) func(*testing.T, *config) {
		return func(t *testing.T, cfg *config) {
			cfg.dial = func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				t.Cleanup(func() { far.Close() })
				go speak(far, answer)
				return near, nil
			}
		}
	}
	tests := []struct {
		why    string
		change func(*testing.T, *config)
		status int
		body   string
		logged string // beside the status
	}{{
		why: "no connection comes about",
		change: func(_ *testing.T, cfg *config) {
			cfg.dial = func(context.Context) (net.Conn, error) {
				refusal := &upgrade.Refusal{Status: http.StatusServiceUnavailable, Reason: "There are reasons."}
				return nil, &web.Undialled{Err: os.ErrDeadlineExceeded, Refusal: refusal}
			}
		},
		status: 503, body: "There are reasons.\n", logged: os.ErrDeadlineExceeded.Error(),
	}, {
		why: "no answer comes",
		change: func(_ *testing.T, cfg *config) {
			cfg.dial = func(context.Context) (net.Conn, error) { return silent{}, nil }
		},
		status: 504, body: "The upstream did not answer in time.\n",
	}, {
		why: "garbage", change: says("SSH-2.0-x\r\n\r\n"),
		status: 502, body: "The upstream gave no valid answer.\n",
	}, {
		why: "an end instead of an answer", change: says(""),
		status: 502, body: "The upstream gave no valid answer.\n",
	}, {
		why: "a head that is too large", change: says("HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("b", 64<<10) + "\r\n\r\n"),
		status: 502, body: "The upstream gave no valid answer.\n", logged: "larger than HOLDFAST_MAX_HEADER_SIZE",
	}, {
		why: "a field name that is none", change: says("HTTP/1.1 200 OK\r\nX Y: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n"),
		status: 502, body: "The upstream gave no valid answer.\n", logged: "a field name is not a token",
	}, {
		why: "a tunnel that nobody asked for", change: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
		status: 502, body: "The upstream gave no valid answer.\n", logged: "101 to a request that asks for no upgrade",
	}, {
		why: "a tunnel to nowhere", change: says("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
		status: 502, body: "The upstream gave no valid answer.\n", logged: "101 to a request that asks for no upgrade",
	}}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *config) { test.change(t, cfg) })
			client := r.opens("GET /a?secret HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			answer, body := client.wantsAnswer(test.why, test.status)
			if body != test.body || answer.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("the client wants %q, got %q of type %q", test.body, body, answer.Header.Get("Content-Type"))
			}
			client.hangsUp()
			r.wantsCounted(test.status)
			lines := r.warnings()
			if len(lines) != 1 || !strings.Contains(lines[0], `"path":"/a","upstream":"ws://upstream.example:80"`) || !strings.Contains(lines[0], test.logged) {
				t.Errorf("one warning tells of it: %q; got %s", test.logged, lines)
			}
			if strings.Contains(r.log.String(), "secret") {
				t.Error("a query was logged")
			}
		})
	}
}

// speak reads a request and answers it with these bytes.
func speak(conn net.Conn, answer string) {
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 4<<10)); err == nil {
		_, _ = io.WriteString(conn, answer) // who is not listening shows in the test
	}
}

// silent is a connection on which time is up.
type silent struct{ net.Conn }

func (silent) Write(b []byte) (int, error)      { return len(b), nil }
func (silent) Read([]byte) (int, error)         { return 0, os.ErrDeadlineExceeded }
func (silent) SetWriteDeadline(time.Time) error { return nil }
func (silent) Close() error                     { return nil }

func TestUpstreamDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		r := newRig(t, nil)
		client := r.opens(get)
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends("HTTP/1.1 200 OK\r\n" + framing)
		answer := client.begins("GET")
		upstream.hangsUp()
		client.wantsCut("the client must not take half an answer for a whole one", answer)
		r.wantsCounted(200)
		if lines := r.warnings(); len(lines) != 1 || !strings.Contains(lines[0], "answer cut short") {
			t.Errorf("one warning tells of it, got %s", lines)
		}
	}
}

func TestClientGoesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	if err := client.conn.(*net.TCPConn).CloseWrite(); err != nil { // which net/http takes for all
		t.Fatal(err)
	}
	upstream.wantsEnd("nobody waits for its answer any more")
	client.wantsEnd("no answer was made up")
	r.wantsCounted()
	if lines := r.warnings(); len(lines) > 0 {
		t.Errorf("a client that goes away is nobody's fault, but there is logged: %s", lines)
	}
}

// What an upstream sends behind the end of its answer reaches nobody, least of
// all the next client.
func TestNothingFollowsAnAnswer(t *testing.T) {
	t.Parallel()
	const more = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, answer := range []string{
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		r := newRig(t, nil)
		first, second := r.opens(get), (*peer)(nil)
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends(answer + more)
		first.begins(http.MethodGet)
		second = r.opens(get)
		upstream = r.accepts() // a connection of its own
		upstream.wantsHead()
		upstream.sends("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
		if _, body := second.wantsAnswer("its own answer", http.StatusOK); body != "right" {
			t.Errorf("%q: the next client got %q", answer, body)
		}
		first.hangsUp()
		second.hangsUp()
	}
}

// A 426 says to what also if it is the last on its connection.
func TestUpgradeRequiredAtTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens("GET /a HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n")
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
	head := client.wantsHead()
	for _, want := range []string{"HTTP/1.1 426 ", "Connection: close\r\n", "connection: Upgrade\r\n", "Upgrade: websocket\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("the client wants %q, got %q", want, head)
		}
	}
	client.wantsEnd("it was the last")
}

// A 426 says to what also while the proxy stops, when net/http says close to everybody.
func TestUpgradeRequiredDuringAStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	idle := r.opens(get)
	first := r.accepts()
	first.wantsHead() // or net/http would take the answer for one that it did not ask for
	first.sends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	idle.wantsAnswer("it waits for its next request", http.StatusOK)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	var stopped sync.WaitGroup
	stopped.Go(func() { r.shutdown(patience) })
	idle.wantsEnd("the stop has begun")
	upstream.sends("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
	head := client.wantsHead()
	for _, want := range []string{"HTTP/1.1 426 ", "Connection: close\r\n", "connection: Upgrade\r\n", "Upgrade: websocket\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("the client wants %q, got %q", want, head)
		}
	}
	client.wantsEnd("the proxy stops")
	stopped.Wait()
}

// A client is noticed to go even if it has sent something behind its request,
// which net/http does not look past.
func TestClientGoesWithBytesUnread(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	client.sends("GET /next HTTP/1.1\r\n")
	client.hangsUp()
	upstream.wantsEnd("nobody waits for its answer any more")
}

// net/http goes by Transfer-Encoding where there is a Content-Length, too. After
// such a request nothing else is taken from the connection.
func TestNothingFollowsARequestWithTwoFramings(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get + "POST /a HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + host + "\r\n")
	for range 2 {
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends(ok)
		client.wantsAnswer("one of two", http.StatusOK)
	}
	client.wantsEnd("what follows may be no request")
	if n := r.dials.Load(); n != 2 {
		t.Errorf("the upstream was dialed %d times, want twice", n)
	}
}

func TestStatusThatIsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends("HTTP/1.1 099 Nothing\r\nContent-Length: 0\r\n\r\n")
	client.wantsAnswer("it is no status", http.StatusBadGateway)
	client.hangsUp()
}

func TestHeadThatIsTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get + "GET /a HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 34<<10) + "\r\n\r\n")
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends(ok)
	client.wantsAnswer("the first", http.StatusOK)
	client.wantsAnswer("the second", http.StatusRequestHeaderFieldsTooLarge)
	client.wantsEnd("nothing follows it")
}

// A failure of a service that is known to be down is not a warning.
func TestServiceThatIsKnownToBeDown(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]string{
		"it gives no valid answer": "nonsense\r\n\r\n",
		"it cuts its answer short": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			for _, down := range []bool{false, true} {
				r := newRig(t, func(c *config) { c.upstream.Down = func() bool { return down } })
				client := r.opens("GET /a HTTP/1.1\r\nConnection: close\r\n" + host + "\r\n")
				upstream := r.accepts()
				upstream.wantsHead()
				upstream.sends(answers)
				upstream.hangsUp()
				_, _ = io.ReadAll(client.in) // to its end, which may be a cut
				r.shutdown(patience)
				if warned := r.logs("WARN"); warned == down {
					t.Errorf("the service is down: %v; a warning was logged: %v", down, warned)
				}
			}
		})
	}
}
