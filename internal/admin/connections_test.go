package admin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
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
	l, server := listen(t), testServer(Config{})
	serves(t, l, server.Serve, server.Close)
	scraper := connects(t, l)
	scraper.sends(question)
	scraper.wantsAnswer("the first")
	var silent []*asker
	for range 3 * maxConnections {
		silent = append(silent, connects(t, l))
	}
	half := connects(t, l)
	half.sends(strings.TrimSuffix(question, "\r\n"))
	last := connects(t, l)
	last.sends(question)
	last.wantsAnswer("one that came after many")
	scraper.wantsEnd("it has been idle for longest")
	for i, a := range silent[:2*maxConnections] {
		if a.wantsEnd("it never asked anything"); t.Failed() {
			t.Fatalf("number %d of %d", i, len(silent))
		}
	}
	half.sends("\r\n")
	half.wantsAnswer("one that asks slowly, and came late")
	last.sends(question)
	last.wantsAnswer("one that asks again")
}

// A connection whose request is being answered stays, and who comes then waits.
func TestBusyConnectionsStay(t *testing.T) {
	const limit = 2
	l := bound(listen(t), limit)
	asked, answers := make(chan struct{}), make(chan struct{})
	server := &http.Server{ConnState: l.note, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answers
	})}
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
	<-asked // by the late one: whoever was answered gave way
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
	server := &http.Server{ConnState: l.note, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answers
	})}
	serves(t, l, server.Serve, func() { server.Close() })
	defer close(answers)
	connects(t, l).sends(question)
	<-asked
	connects(t, l)
}
