package web_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/internal/web"
)

func TestShutdownWaitsForAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	idle, busy := r.opens(get), (*peer)(nil)
	first := r.accepts()
	first.wantsHead()
	first.sends(ok)
	idle.wantsAnswer("it was answered before", 200)

	busy = r.opens(get + get)
	second := r.accepts()
	second.wantsHead()
	stopped := make(chan int)
	go func() { stopped <- r.shutdown(patience) }()
	idle.wantsEnd("it waits for nothing")
	second.sends("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	if answer, body := busy.wantsAnswer("its answer was under way", 200); body != "hello" || !answer.Close {
		t.Errorf("the last answer says that it is the last, got %+v %q", answer, body)
	}
	busy.wantsEnd("its second request is not answered any more")
	if cut := <-stopped; cut != 0 {
		t.Errorf("%d answers were cut, but all are whole", cut)
	}
	r.wantsCounted(200, 200)
}

func TestShutdownCutsWhatLasts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
	answer := client.begins("GET")
	waiting := r.opens(get) // for a head that does not come
	second := r.accepts()
	second.wantsHead()
	if cut := r.shutdown(0); cut != 2 {
		t.Errorf("%d answers were cut, want 2", cut)
	}
	client.wantsCut("events never end by themselves", answer)
	waiting.wantsEnd("there is no answer")
	upstream.wantsEnd("nobody listens")
	second.wantsEnd("nobody waits")
	if lines := r.warnings(); len(lines) > 0 {
		t.Errorf("the upstream is not at fault, but there is logged: %s", lines)
	}
}

// TestShutdownEndsDials: the transport goes on with a dial whose request is gone.
func TestShutdownEndsDials(t *testing.T) {
	t.Parallel()
	dialing, ended := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(cfg *config) {
		cfg.dial = func(ctx context.Context) (net.Conn, error) {
			close(dialing)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}
	})
	client := r.opens(get)
	<-dialing
	client.hangsUp()
	r.shutdown(patience)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the dial outlives the Server")
	}
}

func TestGuestAfterShutdown(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.shutdown(patience)
	client := r.opens(get)
	client.wantsCutOff("the Server is closed")
	r.shutdown(patience)
	r.wantsNoDials()
}

// TestGuestsComeDuringShutdown: each guest is gone once, whether or not it was let in.
func TestGuestsComeDuringShutdown(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var guests sync.WaitGroup
	for range 50 {
		_, g := r.guest(get)
		r.guests.Add(1)
		guests.Go(func() { r.server.Serve(g) })
	}
	r.shutdown(0)
	guests.Wait()
}

// A dial that comes too late, or that nobody waits for, leaves no connection behind.
func TestConnectionNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	dialling := make(chan struct{})
	var r *rig
	r = newRig(t, func(cfg *config) {
		cfg.dial = func(ctx context.Context) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return r.dial(context.WithoutCancel(ctx))
		}
	})
	client := r.opens(get)
	<-dialling
	client.hangsUp()
	r.accepts().wantsEnd("the client has gone")
	r.wantsCounted()
}

// TestLibrariesTalk has net/http on both sides, many clients, and large bodies.
func TestLibrariesTalk(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing shows in the test
		_, _ = w.Write(body)          // likewise
	}))
	defer upstream.Close()
	roots := x509.NewCertPool()
	roots.AddCert(upstream.Certificate())
	r := newRig(t, func(cfg *config) {
		cfg.dial = func(ctx context.Context) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
			return d.DialContext(ctx, "tcp", upstream.Listener.Addr().String())
		}
	})
	proxied := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		r.guests.Add(1)
		r.server.Serve(&web.Guest{Conn: far, From: from})
		return near, nil
	}}
	client := &http.Client{Transport: proxied, Timeout: patience}
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			for j := range 8 {
				wantsEcho(t, client, strings.Repeat(fmt.Sprint(i, j), 10_000))
			}
		})
	}
	clients.Wait()
	proxied.CloseIdleConnections()
}

func wantsEcho(t *testing.T, client *http.Client, body string) {
	t.Helper()
	answer, err := client.Post("http://service.example/echo", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); err != nil || !bytes.Equal(got, []byte(body)) {
		t.Errorf("sent %d bytes, got %d back: %v", len(body), len(got), err)
	}
}
