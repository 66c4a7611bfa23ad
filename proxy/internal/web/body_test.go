package web_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const post = "POST /a HTTP/1.1\r\n" + host

// chunk is one chunk of a body.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

func TestUploadIsNotHeldBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		framing, end string
		piece        func(string) string
	}{
		{"Transfer-Encoding: chunked\r\n", "0\r\n\r\n", chunk},
		{"Content-Length: 15\r\n", "", func(s string) string { return s }},
	} {
		t.Run(test.framing, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.opens(post + test.framing + "\r\n")
			upstream := r.accepts()
			upstream.wantsHead()
			for _, s := range []string{"hello", "again", "there"} {
				client.sends(test.piece(s))
				upstream.wants("a piece goes on before the next is sent", test.piece(s))
			}
			client.sends(test.end)
			upstream.wants("the body ends", test.end)
			upstream.sends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if answer, _ := client.wantsAnswer("the body has ended", 200); answer.Close {
				t.Error("the connection was ended without need")
			}
			client.hangsUp()
		})
	}
}

func TestBodiesGoBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(post + "Transfer-Encoding: chunked\r\n\r\n")
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	answer := client.begins("POST")
	for _, s := range []string{"hello", "again"} {
		client.sends(chunk(s))
		upstream.wants("the client speaks", chunk(s))
		upstream.sends(chunk(s))
		got := make([]byte, len(s))
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != s {
			t.Fatalf("the upstream answers while the client speaks: want %q, got %q, %v", s, got, err)
		}
	}
	client.sends("0\r\n\r\n")
	upstream.wants("the client has spoken", "0\r\n\r\n")
	upstream.sends("0\r\n\r\n")
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
		t.Errorf("the answer ends, got %q, %v", rest, err)
	}
	client.wantsEnd("an answer that overtook its request's body is the last")
}

// TestAnswerOvertakesTheBody: what is left of the body must not become a request.
func TestAnswerOvertakesTheBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(post + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(get)))
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch")
	if answer, _ := client.wantsAnswer("the upstream has seen enough", 413); !answer.Close {
		t.Error("the answer must say that the connection ends")
	}
	client.sends(get + get)
	upstream.wantsEnd("neither the body nor what follows is for it")
	client.hangsUp()
	r.wantsCounted(413)
	if n := r.dials.Load(); n != 1 {
		t.Errorf("the upstream was dialed %d times", n)
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	const head = post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"

	t.Run("the upstream wants the body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client := r.opens(head)
		upstream := r.accepts()
		if got := upstream.wantsHead(); !strings.Contains(got, "Expect: 100-continue\r\n") {
			t.Errorf("the upstream is asked, too: %q", got)
		}
		upstream.sends("HTTP/1.1 100 Continue\r\n\r\n")
		client.wants("the upstream's word goes on, once", "HTTP/1.1 100 Continue\r\n\r\n")
		client.sends("hello")
		upstream.wants("now the body comes", "hello")
		upstream.sends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		client.wantsAnswer("no second 100", 200)
		client.hangsUp()
	})

	t.Run("other interim answers do not get into the way", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client := r.opens(head)
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
		interim := map[int]http.Header{}
		for range 2 { // either may be first
			answer := client.begins("POST")
			interim[answer.StatusCode] = answer.Header
		}
		if len(interim[100]) != 0 || interim[103].Get("Link") != "</a.css>" {
			t.Errorf("the client wants a 100 and a 103, each with its own fields, got %v", interim)
		}
		client.sends("hello")
		upstream.wants("now the body comes", "hello")
		upstream.sends(ok)
		client.wantsAnswer("then there is an answer", 200)
		client.hangsUp()
	})

	t.Run("the upstream knows no Expect", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client := r.opens(head)
		upstream := r.accepts()
		upstream.wantsHead()
		client.wants("the proxy does not wait for ever", "HTTP/1.1 100 Continue\r\n\r\n")
		client.sends("hello")
		upstream.wants("now the body comes", "hello")
		upstream.sends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		client.wantsAnswer("the upstream has answered", 200)
		client.hangsUp()
	})

	t.Run("the upstream does not want the body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client := r.opens(head)
		upstream := r.accepts()
		upstream.wantsHead()
		upstream.sends("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
		if answer, _ := client.wantsAnswer("no 100 comes first", 401); !answer.Close {
			t.Error("whether the body still comes is unknown, so the connection must end")
		}
		upstream.wantsEnd("the body does not come")
		client.hangsUp()
	})
}

func TestMalformedBodyIsTheClientsFault(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n")
	_, body := client.wantsAnswer("no chunk begins like that", http.StatusBadRequest)
	if body != "The request's body is malformed.\n" {
		t.Errorf("the client is told %q", body)
	}
	client.hangsUp()
	r.wantsCounted(400)
	if lines := r.warnings(); len(lines) > 0 {
		t.Errorf("any passer-by can cause it, but there is logged: %s", lines)
	}
}

// An upstream may answer as soon as it has the last byte of a request's body, before
// net/http's writer has looked for more of the body. By then net/http's server may have
// closed the body, and that must not look like a body that is broken off.
func TestAnswerComesBeforeTheEndOfTheBodyIsRead(t *testing.T) {
	t.Parallel()
	const length = 64 << 10 // more than net/http's buffers: the last bytes are written as they come
	body := strings.Repeat("b", length-1) + "!"
	held := make(chan struct{})
	r := newRig(t, nil)
	r.held = func(b []byte) {
		if bytes.HasSuffix(b, []byte("!")) {
			<-held
		}
	}
	client := r.opens(post + fmt.Sprintf("Content-Length: %d\r\n\r\n", length) + body)
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.wants("the body", body)
	upstream.sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	answer := client.begins(http.MethodPost)
	close(held)
	rest := unread[:1<<20] // much, so that the writer is done long before
	go pours(upstream, chunk(rest)+"0\r\n\r\n")
	if n, err := io.Copy(io.Discard, answer.Body); n != int64(len(rest)) || err != nil {
		t.Errorf("the client wants the whole answer, got %d of %d bytes, %v", n, len(rest), err)
	}
	r.wantsCounted(http.StatusOK)
}

// An answer that overtakes its request's body ends the connection. A client that sends no
// more of the body does not keep the connection.
func TestBodyThatStopsAfterItsAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ framing, body string }{
		"none of it came":        {"Content-Length: 10\r\n", ""},
		"a part came":            {"Content-Length: 10\r\n", "abc"},
		"a large one":            {"Content-Length: 1000000000\r\n", "abc"},
		"chunks":                 {"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"},
		"it was to be asked for": {"Expect: 100-continue\r\nContent-Length: 10\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *config) { cfg.HandshakeTimeout = 50 * time.Millisecond })
			client := r.opens("POST /a HTTP/1.1\r\n" + host + test.framing + "\r\n" + test.body)
			upstream := r.accepts()
			upstream.wantsHead()
			upstream.sends("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
			if answer, _ := client.wantsAnswer("it comes before the body", http.StatusUnauthorized); !answer.Close {
				t.Error("the client is not told that the connection ends")
			}
			client.wantsCutOff("the rest of the body does not come")
		})
	}
}
