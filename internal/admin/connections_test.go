package admin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serves runs a server until the test ends.
func serves(t *testing.T, l net.Listener, serve func(net.Listener) error, end func()) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- serve(l) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
}

// pipes is a listener without sockets. A server that listens there can live in invented
// time, which a goroutine that waits for a socket would hold up.
type pipes struct {
	come   chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes {
	return &pipes{come: make(chan net.Conn, 2*maxConnections), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.come:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "pipes"} }

// connects is connects for a listener of pipes. Nothing of it takes time.
func (p *pipes) connects(t *testing.T) *asker {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	p.come <- far
	return &asker{t, near, bufio.NewReader(near)}
}

// asker is a client's connection.
type asker struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func connects(t *testing.T, l net.Listener) *asker {
	t.Helper()
	conn, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &asker{t, conn, bufio.NewReader(conn)}
}

func (a *asker) sends(text string) {
	a.t.Helper()
	if _, err := io.WriteString(a, text); err != nil {
		a.t.Fatal(err)
	}
}

const question = "GET /metrics HTTP/1.1\r\nHost: scraped.example\r\n\r\n"

func (a *asker) wantsAnswer(why string) {
	a.t.Helper()
	answer, err := http.ReadResponse(a.in, nil)
	if err != nil {
		a.t.Fatalf("%s: %v", why, err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		a.t.Errorf("%s: %s %q, %v", why, answer.Status, body, err)
	}
}

func (a *asker) wantsEnd(why string) {
	a.t.Helper()
	if _, err := a.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		a.t.Errorf("%s: the connection has not ended: %v", why, err)
	}
}

// Clients that hold connections and ask for nothing take no more descriptors than
// are the listener's, and keep no scraper out.
func TestIdleConnectionsGiveWay(t *testing.T) {
	t.Parallel()
	t.Run("by default", func(t *testing.T) { testGiveWay(t, Config{}, maxConnections) })
	t.Run("with few", func(t *testing.T) { testGiveWay(t, Config{Connections: 4}, 4) })
}

func testGiveWay(t *testing.T, cfg Config, most int) {
	t.Parallel()
	l, server := listen(t), testServer(cfg)
	serves(t, l, server.Serve, server.Close)
	scraper := connects(t, l)
	scraper.sends(question)
	scraper.wantsAnswer("the first")
	var silent []*asker
	for range 3 * most {
		silent = append(silent, connects(t, l))
	}
	half := connects(t, l)
	half.sends(strings.TrimSuffix(question, "\r\n"))
	last := connects(t, l)
	last.sends(question)
	last.wantsAnswer("one that came after many")
	scraper.wantsEnd("it has been idle for longest")
	for i, a := range silent[:2*most] {
		if a.wantsEnd("it never asked anything"); t.Failed() {
			t.Fatalf("number %d of %d", i, len(silent))
		}
	}
	half.sends("\r\n")
	half.wantsAnswer("one that asks slowly, and came late")
	last.sends(question)
	last.wantsAnswer("one that asks again")
}

// Clients of whom more is announced than comes hold no place for long, whatever net/http
// does with them; net/http has no limits here.
func TestSlowClientsGiveWay(t *testing.T) {
	for _, slow := range []string{
		"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 100_000),
		"GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("x", 100_000),
		"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: tea\r\n\r\n",
		strings.TrimSuffix(question, "\r\n"),
	} {
		t.Run(strings.TrimRight(slow, "x"), func(t *testing.T) {
			t.Parallel()
			l, server := listen(t), testServer(Config{})
			withoutLimits(server)
			serves(t, l, server.Serve, server.Close)
			for range maxConnections + 8 {
				_, _ = io.WriteString(connects(t, l), slow) // it may be refused before all is sent
			}
			scraper := connects(t, l)
			scraper.sends(question)
			scraper.wantsAnswer("others are slow")
		})
	}
}

// withoutLimits removes the limits of net/http, so that connections end only to give way.
func withoutLimits(server *Server) {
	server.http.ReadTimeout, server.http.WriteTimeout, server.http.IdleTimeout = 0, 0, 0
}

// Clients that take nothing of their answer hold no place for longer than answerGrace. The
// time is invented, so the connections are pipes.
func TestClientsThatDoNotReadGiveWay(t *testing.T) {
	for _, slow := range []string{
		"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			l, server := newPipes(), testServer(Config{})
			withoutLimits(server)
			next := server.http.Handler
			server.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if next.ServeHTTP(w, r); r.URL.Path == "/large" {
					_, _ = w.Write(make([]byte, 1<<20)) // the client does not read it
				}
			})
			serves(t, l, server.Serve, server.Close)
			for range maxConnections {
				l.connects(t).sends(slow)
			}
			began := time.Now()
			scraper := l.connects(t)
			scraper.sends(question)
			scraper.wantsAnswer("others take nothing")
			if took := time.Since(began); took != answerGrace {
				t.Errorf("%q: a place was free after %v, want %v", slow, took, answerGrace)
			}
		})
	}
}

// The end of a connection ends a write for which the kernel has no room.
func TestBlockedWriteEnds(t *testing.T) {
	l := listen(t)
	cs := bound(l, 1)
	client := connects(t, l)
	accepted, err := cs.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := accepted.(*conn)
	wrote := make(chan error)
	go func() {
		_, err := c.Write(make([]byte, 16<<20)) // more than the buffers of a loopback connection take
		wrote <- err
	}()
	for c.unsent() == 0 {
		runtime.Gosched() // until the client has no room
	}
	c.dueAt(time.Now())
	next := connects(t, l)
	second, err := cs.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := <-wrote; err == nil {
		t.Error("the answer was written, though nobody took it")
	}
	_ = client.Close()
	_ = next.Close()
}

// A request with a body is refused at once, though nothing of the body comes.
func TestBodyIsNotWaitedFor(t *testing.T) {
	l, server := listen(t), testServer(Config{})
	server.http.ReadTimeout = 0
	serves(t, l, server.Serve, server.Close)
	for _, framing := range []string{"Content-Length: 9", "Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		a := connects(t, l)
		a.sends("POST /healthz HTTP/1.1\r\nHost: localhost\r\n" + framing + "\r\n\r\n")
		answer, err := http.ReadResponse(a.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
			t.Errorf("%s: %s %q, %v, closing: %t", framing, answer.Status, body, err, answer.Close)
		}
		a.wantsEnd("nothing follows")
	}
}

// OPTIONS * is judged by its Host like any other request.
func TestGeneralOptions(t *testing.T) {
	l, server := listen(t), testServer(Config{})
	serves(t, l, server.Serve, server.Close)
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "localhost": http.StatusBadRequest} {
		a := connects(t, l) // the second answer ends its connection
		a.sends("OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		answer, err := http.ReadResponse(a.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != want {
			t.Errorf("to %s: %s, %v, want %d", host, answer.Status, err, want)
		}
	}
}

// A connection whose request is being answered stays, and who comes then waits.
func TestBusyConnectionsStay(t *testing.T) {
	const limit = 2
	l := bound(listen(t), limit)
	asked, answers := make(chan struct{}), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answers
	})}
	l.watch(server)
	serves(t, l, server.Serve, func() { server.Close() })
	var busy []*asker
	for range limit {
		a := connects(t, l)
		a.sends(question)
		<-asked
		busy = append(busy, a)
	}
	late := connects(t, l)
	late.sends(question)
	answers <- struct{}{}
	<-asked // by the late one: the one that was answered gave way
	close(answers)
	late.wantsAnswer("a place is free")
	for _, a := range busy {
		a.wantsAnswer("it had asked before")
	}
}

// A server can be closed while somebody waits for a place.
func TestCloseWhileOneWaits(t *testing.T) {
	l := bound(listen(t), 1)
	asked, answers := make(chan struct{}), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answers
	})}
	l.watch(server)
	serves(t, l, server.Serve, func() { server.Close() })
	defer close(answers)
	connects(t, l).sends(question)
	<-asked
	connects(t, l)
}

// The newest connection is not closed at once because all others are being answered:
// its request has some time to come.
func TestNewConnectionHasTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		cs := bound(l, 2)
		accept := func() (*conn, *asker) {
			near := l.connects(t)
			c, err := cs.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return c.(*conn), near
		}
		busy, _ := accept()
		busy.dueAt(time.Time{})
		_, silent := accept()
		began := time.Now()
		accept()
		if took := time.Since(began); took != headGrace {
			t.Errorf("the silent one was closed after %v, want %v", took, headGrace)
		}
		silent.wantsEnd("it has had its time")
	})
}

// A connection on which a request has come is spared, but not for ever.
// The sockets are real, and the time is invented: nothing here waits for a socket.
func TestUnreadRequestIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t)
		cs := bound(l, 1)
		dials := func() net.Conn {
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close() })
			return client
		}
		asks := dials()
		if _, err := io.WriteString(asks, question); err != nil {
			t.Fatal(err)
		}
		accepted, err := cs.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := accepted.(*conn)
		for !c.hasUnread() {
			runtime.Gosched() // loopback is not always instant
		}
		other := dials()
		began := time.Now()
		second, err := cs.Accept()
		if err != nil {
			t.Fatal(err)
		}
		second.Close()
		if took := time.Since(began); c.spared != spares || took != (1+spares)*headGrace {
			t.Errorf("it was spared %d times and closed after %v, want %d and %v", c.spared, took, spares, (1+spares)*headGrace)
		}
		for why, client := range map[string]net.Conn{"it was closed": other, "nobody has read its request": asks} {
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: the connection has not ended", why)
			}
		}
	})
}

// A failing listener fails once with each of its errors.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return f.Listener.Accept()
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

// An error of one accept does not end the listener.
func TestAcceptsAfterAnError(t *testing.T) {
	l := listen(t)
	server := testServer(Config{})
	serves(t, &failing{l, []error{syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.EPROTO, syscall.EMFILE}}, server.Serve, server.Close)
	client := connects(t, l)
	client.sends("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	client.wantsAnswer("an accept that failed was tried again")
}

func TestBrokenListenerEnds(t *testing.T) {
	for _, broken := range []error{syscall.EBADF, syscall.ENOTSOCK, syscall.EINVAL} {
		server := testServer(Config{})
		if err := server.Serve(&failing{listen(t), []error{broken}}); !errors.Is(err, broken) {
			t.Errorf("Serve = %v, want %v", err, broken)
		}
	}
}
