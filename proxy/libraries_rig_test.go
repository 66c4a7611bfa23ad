package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"holdfast/proxy"
)

// A library is a WebSocket implementation of others, at both ends.
type library struct {
	name string
	// echo serves one connection: messages come back as they are, and a text
	// "close CODE REASON" is answered by that Close.
	echo http.HandlerFunc
	dial func(ctx context.Context, url string, subprotocols ...string) (conversant, http.Header, error)
}

// A conversant is a client connection.
type conversant interface {
	write(binary bool, message []byte) error
	read() (binary bool, message []byte, err error)
	close(code int, reason string) error // the whole close handshake
	drop()                               // the connection, without a Close
}

var libraries = []library{
	{"coder", coderEcho, coderDial},
	{"gorilla", gorillaEcho, gorillaDial},
}

const subprotocol = "echo.v1"

// forEachPair runs the test with every client library before every server library.
func forEachPair(t *testing.T, change func(*proxy.Config), test func(t *testing.T, r *rig, client library)) {
	t.Parallel()
	for _, client := range libraries {
		for _, server := range libraries {
			t.Run(client.name+" to "+server.name, func(t *testing.T) {
				t.Parallel()
				test(t, newServedRig(t, server.echo, change), client)
			})
		}
	}
}

// newServedRig is a rig whose upstream is a library's server, which ends before the rig.
func newServedRig(t *testing.T, handler http.Handler, change func(*proxy.Config)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: l.Addr().String()}
		if change != nil {
			change(cfg)
		}
	})
	if r.tls.upstream {
		l = tls.NewListener(l, serverTLS())
	}
	service := &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	served := make(chan error, 1)
	go func() { served <- service.Serve(l) }()
	t.Cleanup(func() {
		service.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the service: %v", err)
		}
	})
	return r
}

func (r *rig) url() string {
	scheme := "ws://"
	if r.tls.client {
		scheme = "wss://"
	}
	return scheme + r.server.Addr().String() + "/chat"
}

// dialsBy connects a client library, and hangs up at the test's end.
func (r *rig) dialsBy(l library) conversant {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := l.dial(ctx, r.url(), subprotocol)
	if err != nil {
		r.t.Fatalf("%s dials: %v", l.name, err)
	}
	r.t.Cleanup(c.drop)
	return c
}

// echoes sends a message and wants it back.
func echoes(c conversant, binary bool, message []byte) error {
	if err := c.write(binary, message); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	gotBinary, got, err := c.read()
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if gotBinary != binary || !bytes.Equal(got, message) {
		return fmt.Errorf("the echo of %d bytes (binary: %v) are %d other bytes (binary: %v)", len(message), binary, len(got), gotBinary)
	}
	return nil
}

func TestLibrariesEcho(t *testing.T) {
	forEachPair(t, nil, func(t *testing.T, r *rig, client library) {
		c := r.dialsBy(client)
		for _, n := range []int{0, 1, 125, 126, 4096, 65536, 1 << 20} {
			message := []byte(strings.Repeat("compressible and long. ", n/23+1)[:n])
			if err := errors.Join(echoes(c, false, message), echoes(c, true, message)); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
		if err := c.close(1000, "done"); err != nil {
			t.Errorf("close: %v", err)
		}
		c.drop() // gorilla leaves that to its user
		r.wantsNoSessions()
		r.wantsCounts(counts{"ok": 1, "opened": 1, "closed client": 1})
	})
}

func TestLibrariesNegotiate(t *testing.T) {
	forEachPair(t, nil, func(t *testing.T, r *rig, client library) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, header, err := client.dial(ctx, r.url(), "other", subprotocol)
		if err != nil {
			t.Fatal(err)
		}
		defer c.drop()
		if got := header.Get("Sec-WebSocket-Protocol"); got != subprotocol {
			t.Errorf("the subprotocol is %q", got)
		}
		if got := header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
			t.Errorf("compression was not negotiated: %q", got)
		}
		// Compressed on the wire: a message of 100 kB must not cost as much.
		if err := echoes(c, false, bytes.Repeat([]byte("a"), 100_000)); err != nil {
			t.Fatal(err)
		}
		for _, side := range []string{"client", "upstream"} {
			if n := r.metric("received_bytes_total{" + side + "}"); n > 50_000 {
				t.Errorf("%d bytes came from the %s, so they were not compressed", n, side)
			}
		}
	})
}

func TestLibrariesSeeEachOthersCloseCodes(t *testing.T) {
	forEachPair(t, nil, func(t *testing.T, r *rig, client library) {
		for _, want := range []int{1000, 1001, 1008, 1011, 1012, 4001} {
			c := r.dialsBy(client)
			if err := c.write(false, fmt.Appendf(nil, "close %d bye", want)); err != nil {
				t.Fatal(err)
			}
			_, _, err := c.read()
			if code, reason := closedBy(err); code != want || reason != "bye" {
				t.Errorf("the client wants a Close %d bye, got %v", want, err)
			}
			c.drop()
		}
		r.wantsNoSessions()
		r.wantsCounts(counts{"ok": 6, "opened": 6, "closed upstream": 6})
	})
}

func TestLibrariesInACrowd(t *testing.T) {
	forEachPair(t, nil, func(t *testing.T, r *rig, client library) {
		const crowd = 50
		var wg sync.WaitGroup
		for i := range crowd {
			wg.Go(func() {
				if err := talks(r, client, i); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		r.wantsNoSessions()
		r.wantsCounts(counts{"ok": crowd, "opened": crowd, "closed client": crowd})
	})
}

// talks is a whole session of one of many.
func talks(r *rig, client library, i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := client.dial(ctx, r.url(), subprotocol)
	if err != nil {
		return err
	}
	defer c.drop()
	for n := range 6 {
		if err := echoes(c, n%2 == 0, bytes.Repeat([]byte{byte('a' + i%26)}, 1<<n*(i+1))); err != nil {
			return err
		}
	}
	return c.close(1000, "")
}

// closedBy is the Close that an error of either library speaks of.
func closedBy(err error) (code int, reason string) {
	var c coder.CloseError
	if errors.As(err, &c) {
		return int(c.Code), c.Reason
	}
	var g *gorilla.CloseError
	if errors.As(err, &g) {
		return g.Code, g.Text
	}
	return 0, ""
}

// asked reads "close CODE REASON".
func asked(message []byte) (code int, reason string, ok bool) {
	n, _ := fmt.Sscanf(string(message), "close %d %s", &code, &reason)
	return code, reason, n == 2
}

// github.com/coder/websocket

func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{
		Subprotocols:    []string{subprotocol},
		CompressionMode: coder.CompressionContextTakeover,
	})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(-1)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return // and a Close is answered by Read
		}
		if code, reason, ok := asked(message); ok {
			_ = c.Close(coder.StatusCode(code), reason)
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

type coderClient struct {
	c   *coder.Conn
	ctx context.Context
	end context.CancelFunc
}

func coderDial(ctx context.Context, url string, subprotocols ...string) (conversant, http.Header, error) {
	transport := &http.Transport{TLSClientConfig: clientTLS()}
	defer transport.CloseIdleConnections()
	c, resp, err := coder.Dial(ctx, url, &coder.DialOptions{
		HTTPClient:      &http.Client{Transport: transport},
		Subprotocols:    subprotocols,
		CompressionMode: coder.CompressionContextTakeover,
	})
	if err != nil {
		return nil, nil, err
	}
	c.SetReadLimit(-1)
	life, end := context.WithTimeout(context.Background(), 2*patience)
	return &coderClient{c, life, end}, resp.Header, nil
}

func (c *coderClient) write(binary bool, message []byte) error {
	kind := coder.MessageText
	if binary {
		kind = coder.MessageBinary
	}
	return c.c.Write(c.ctx, kind, message)
}

func (c *coderClient) read() (bool, []byte, error) {
	kind, message, err := c.c.Read(c.ctx)
	return kind == coder.MessageBinary, message, err
}

func (c *coderClient) close(code int, reason string) error {
	return c.c.Close(coder.StatusCode(code), reason)
}

func (c *coderClient) drop() { _ = c.c.CloseNow(); c.end() }

// github.com/gorilla/websocket

func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	upgrader := gorilla.Upgrader{Subprotocols: []string{subprotocol}, EnableCompression: true}
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	answersPatiently(c)
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			return // and a Close is answered by ReadMessage
		}
		if code, reason, ok := asked(message); ok {
			_ = c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(patience))
			_, _, _ = c.ReadMessage() // the answer
			return
		}
		if err := c.WriteMessage(kind, message); err != nil {
			return
		}
	}
}

type gorillaClient struct{ c *gorilla.Conn }

func gorillaDial(ctx context.Context, url string, subprotocols ...string) (conversant, http.Header, error) {
	d := gorilla.Dialer{EnableCompression: true, Subprotocols: subprotocols, TLSClientConfig: clientTLS()}
	c, resp, err := d.DialContext(ctx, url, nil)
	if err != nil {
		return nil, nil, err
	}
	answersPatiently(c)
	return gorillaClient{c}, resp.Header, c.SetReadDeadline(time.Now().Add(2 * patience))
}

// answersPatiently makes the library take its time for an answer to a Close or a ping. By
// default it gives the write a second, and a connection over TLS whose write was late is
// broken for good.
func answersPatiently(c *gorilla.Conn) {
	answer := func(kind int, payload []byte) error {
		return c.WriteControl(kind, payload, time.Now().Add(patience))
	}
	c.SetCloseHandler(func(code int, _ string) error {
		_ = answer(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, "")) // if it fails, so does the next read
		return nil
	})
	c.SetPingHandler(func(payload string) error { return answer(gorilla.PongMessage, []byte(payload)) })
}

func (c gorillaClient) write(binary bool, message []byte) error {
	kind := gorilla.TextMessage
	if binary {
		kind = gorilla.BinaryMessage
	}
	return c.c.WriteMessage(kind, message)
}

func (c gorillaClient) read() (bool, []byte, error) {
	kind, message, err := c.c.ReadMessage()
	return kind == gorilla.BinaryMessage, message, err
}

// close sends a Close and reads until its answer: gorilla leaves that to its user.
func (c gorillaClient) close(code int, reason string) error {
	if err := c.c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		if _, _, err := c.c.ReadMessage(); err != nil {
			if got, _ := closedBy(err); got != code {
				return err
			}
			return nil
		}
	}
}

func (c gorillaClient) drop() { c.c.Close() }
