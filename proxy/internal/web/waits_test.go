package web_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// uploads are requests whose body does not come whole: net/http looks for the rest of each
// before it closes the connection.
var uploads = map[string]string{
	"nothing comes":      upload,
	"a part comes":       upload + "abc",
	"chunks":             post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	"a part of a chunk":  post + "Transfer-Encoding: chunked\r\n\r\n3\r\na",
	"a long body":        post + "Content-Length: 300000\r\n\r\nabc",
	"close is asked for": post + "Connection: close\r\nContent-Length: 10\r\n\r\nabc",
	"it would be asked":  post + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
}

// An answer may overtake its request's body. The rest of that body is waited for, but not
// for ever.
func TestAnswerOvertakesABodyThatNeverComes(t *testing.T) {
	t.Parallel()
	for name, request := range uploads {
		t.Run(name, func(t *testing.T) {
			lulls(t, request, func(l *lull) {
				upstream := l.accepts()
				go pours(upstream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
				l.client.wantsAnswer("the upstream wants no body", http.StatusUnauthorized)
				since := time.Now()
				l.client.wantsEnd("the rest of the body does not come")
				if took := time.Since(since); took > stall+2*time.Minute {
					t.Errorf("the connection was ended after %v", took)
				}
				upstream.hangsUp()
				l.wantsLogged("")
			})
		})
	}
}

// net/http refuses this expectation before a handler runs, and then reads the body.
func TestRefusedBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	lulls(t, post+"Expect: wonders\r\nContent-Length: 10\r\n\r\n", func(l *lull) {
		l.client.wantsAnswer("nobody knows this expectation", http.StatusExpectationFailed)
		since := time.Now()
		l.client.wantsEnd("the body does not come")
		if took := time.Since(since); took > 2*time.Minute {
			t.Errorf("the connection was ended after %v", took)
		}
	})
}

// net/http refuses what is not a head in its own words. A client that takes none of them
// is not waited for without a limit.
func TestRefusedHeadThatNobodyReads(t *testing.T) {
	t.Parallel()
	lulls(t, get, func(l *lull) {
		l.accepts().sends(ok)
		l.client.wantsAnswer("the first request is in order", http.StatusOK)
		l.client.sends("nonsense\r\n\r\n")
		synctest.Wait() // for the write of the refusal
		time.Sleep(2 * time.Minute)
		l.client.wantsEnd("nobody took the refusal")
	})
}

// A stop does not count a request that has been answered among those that it cuts.
func TestStopBehindAnAnswer(t *testing.T) {
	t.Parallel()
	lulls(t, upload, func(l *lull) {
		upstream := l.accepts()
		go pours(upstream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		l.client.wantsAnswer("the upstream wants no body", http.StatusUnauthorized)
		upstream.hangsUp()
		synctest.Wait() // for the reading of the body's rest
		soon, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if cut := l.server.Shutdown(soon); cut != 0 {
			t.Errorf("%d answers were cut, want 0: the answer was whole", cut)
		}
		l.client.wantsEnd("the server has stopped")
	})
}

// The upstream's time may end in the moment in which the client's body is asked for.
func TestTimeoutWhileABodyIsAskedFor(t *testing.T) {
	t.Parallel()
	for range 20 {
		lullsFor(t, time.Second, post+"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", func(l *lull) {
			l.accepts()
			answer := l.client.begins(http.MethodPost)
			if answer.StatusCode == http.StatusContinue {
				answer = l.client.begins(http.MethodPost)
			}
			if s := answer.StatusCode; s != http.StatusGatewayTimeout && s != http.StatusRequestTimeout {
				t.Errorf("got %d, want a 504, or a 408 after the 100", s)
			}
		})
	}
}
