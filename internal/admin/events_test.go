package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// streamer is a client that takes a stream as it is written.
type streamer struct {
	*httptest.ResponseRecorder
	fails error // of every flush

	mu      sync.Mutex
	mayTake []time.Duration // how long each of its writes may take
}

func (s *streamer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ResponseRecorder.Write(b)
}

// text is what has come since the last call of events.
func (s *streamer) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Body.String()
}

func (s *streamer) SetReadDeadline(time.Time) error { return nil }
func (s *streamer) FlushError() error               { return s.fails }
func (s *streamer) SetWriteDeadline(by time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mayTake = append(s.mayTake, time.Until(by))
	return nil
}

// events returns the names of the events that have come since the last call, and their
// data.
func (s *streamer) events() (names, data []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for part := range strings.SplitSeq(s.Body.String(), "\n\n") {
		name, rest, _ := strings.Cut(part, "\n")
		if name, is := strings.CutPrefix(name, "event: "); is {
			names = append(names, name)
			data = append(data, strings.TrimPrefix(rest, "data: "))
		}
	}
	s.Body.Reset()
	return names, data
}

// streams begins a stream in a bubble of invented time.
func streams(s *Server, from string) (client *streamer, leave context.CancelFunc) {
	r := local("GET", "/api/events")
	r.RemoteAddr = from
	ctx, leave := context.WithCancel(r.Context())
	client = &streamer{ResponseRecorder: httptest.NewRecorder()}
	go s.http.Handler.ServeHTTP(client, r.WithContext(ctx))
	synctest.Wait()
	return client, leave
}

const here, elsewhere = "127.0.0.1:5", "192.0.2.7:5"

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newBook(1, 2)
		client, leave := streams(testServer(Config{Book: book}), here)
		defer leave()
		wants := func(why string, want ...string) (data []string) {
			t.Helper()
			names, data := client.events()
			if !slices.Equal(names, want) {
				t.Errorf("%s: the events are %q, want %q", why, names, want)
			}
			return data
		}
		if client.Code != 200 || client.Header().Get("Content-Type") != "text/event-stream" || client.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("the answer is %d, %v", client.Code, client.Header())
		}
		if text := client.text(); !strings.HasPrefix(text, "retry: 5000\n\n: ") {
			t.Errorf("the stream begins with %.60q", text)
		}
		var got status.Status
		data := wants("it begins, and earlier ends are not told", "status")
		if err := json.Unmarshal([]byte(data[0]), &got); err != nil || got.Sessions != 0 || !got.May.List {
			t.Errorf("the status is %s, %v", data[0], err)
		}
		end := func(id uint64) { book.Ended(time.Now(), &proxy.Ended{ID: id, Path: "/a\n\nevent: evil\ndata: x"}) }
		end(3)
		synctest.Wait()
		wants("no second has passed")
		time.Sleep(time.Second)
		synctest.Wait()
		data = wants("a second has passed", "status", "end")
		var e status.End
		if err := json.Unmarshal([]byte(data[1]), &e); err != nil || e.ID != "3" {
			t.Errorf("the end is %s, %v", data[1], err)
		}
		for id := range uint64(50) {
			end(id)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		data = wants("many ends have come", append(append([]string{"status"}, slices.Repeat([]string{"end"}, 20)...), "skipped")...)
		if last := data[len(data)-1]; last != `{"ends":30}` {
			t.Errorf("skipped is %s", last)
		}
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if text := client.text(); strings.Count(text, "\n: the stream goes on\n") != 1 {
			t.Errorf("fifteen seconds have passed, and the comments are in %q", text)
		}
		leave()
		synctest.Wait()
		if len(client.mayTake) != 17 || slices.Min(client.mayTake) != eventTimeout || slices.Max(client.mayTake) != eventTimeout {
			t.Errorf("the writes may take %v", client.mayTake)
		}
	})
}

// Those who may not list ends are not told of them.
func TestEventsOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newBook()
		client, leave := streams(testServer(Config{Book: book}), elsewhere)
		defer leave()
		book.Ended(time.Now(), &proxy.Ended{ID: 1})
		time.Sleep(time.Second)
		synctest.Wait()
		if names, data := client.events(); !slices.Equal(names, []string{"status", "status"}) || strings.Contains(data[0], `"list":true`) {
			t.Errorf("the events are %q", names)
		}
	})
}

// A client without a place is told to come later, and gets the place of one that leaves.
func TestStreamsAreBounded(t *testing.T) {
	for connections, most := range map[int]int{0: 8, 12: 3, 1: 1} {
		synctest.Test(t, func(t *testing.T) {
			s := testServer(Config{Connections: connections})
			var leaves []context.CancelFunc
			for range most {
				client, leave := streams(s, here)
				leaves = append(leaves, leave)
				if client.Code != 200 {
					t.Fatalf("with %d connections stream %d is answered %d", connections, len(leaves), client.Code)
				}
			}
			late, leave := streams(s, here)
			leave()
			if late.Code != 503 || late.Header().Get("Retry-After") != "5" {
				t.Errorf("with %d connections one stream too many is answered %d, %v", connections, late.Code, late.Header())
			}
			leaves[0]()
			synctest.Wait()
			next, leave := streams(s, here)
			if next.Code != 200 {
				t.Errorf("one has left, and the next is answered %d", next.Code)
			}
			for _, leave := range append(leaves[1:], leave) {
				leave()
			}
		})
	}
}

// A write that is not taken in time ends the stream, and its place is free.
func TestSlowStreamIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testServer(Config{Connections: 4})
		r := local("GET", "/api/events")
		slow := &streamer{ResponseRecorder: httptest.NewRecorder(), fails: errors.New("i/o timeout")}
		s.http.Handler.ServeHTTP(slow, r) // it returns
		next, leave := streams(s, here)
		defer leave()
		if next.Code != 200 {
			t.Errorf("the next stream is answered %d", next.Code)
		}
	})
}

// queued is a connection with bytes that the kernel cannot send.
type queued struct{ bytes atomic.Int64 }

func (q *queued) unsent() int { return int(q.bytes.Load()) }

// A client that does not read ends the stream long before the kernel has no more room. One
// that catches up does not.
func TestAStreamEndsWhoseClientStaysBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := local("GET", "/api/events")
		var behind queued
		client := &streamer{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			testServer(Config{}).http.Handler.ServeHTTP(client, r.WithContext(context.WithValue(t.Context(), connKey{}, &behind)))
		}()
		synctest.Wait()
		behind.bytes.Store(1)
		time.Sleep(eventTimeout)
		synctest.Wait()
		behind.bytes.Store(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("the stream has ended, although its client has caught up")
		default:
		}
		behind.bytes.Store(1)
		began := time.Now()
		<-ended
		if took := time.Since(began); took != streamEvery+eventTimeout {
			t.Errorf("the stream ends after %v, want %v", took, streamEvery+eventTimeout)
		}
	})
}

// The kernel knows that a client has no room.
func TestUnsent(t *testing.T) {
	l := listen(t)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := bound(l, 1).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c := accepted.(*conn)
	if n := c.unsent(); n != 0 {
		t.Errorf("%d bytes wait before the first is written", n)
	}
	full := make(chan struct{})
	go func() {
		defer close(full)
		for c.unsent() == 0 { // until the client, which does not read, has no room
			if c.SetWriteDeadline(time.Now().Add(10*time.Millisecond)) != nil {
				return
			}
			_, _ = c.Write(make([]byte, 1<<20)) // on a busy machine it may be late before a byte is written
		}
	}()
	select {
	case <-full:
	case <-time.After(patience):
		t.Error("nothing waits for a client that has no room")
	}
	accepted.Close()
	<-full
}

func TestEventsAreAskedForWell(t *testing.T) {
	s := testServer(Config{Token: secret})
	if got := s.ask(local("HEAD", "/api/events")); got.Code != 200 || got.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD is answered %d, %v", got.Code, got.Header())
	}
	if got := s.ask(local("GET", "/api/events?from=1")); got.Code != 400 {
		t.Errorf("a parameter is answered %d", got.Code)
	}
	if got := s.ask(local("POST", "/api/events")); got.Code != 405 {
		t.Errorf("POST is answered %d", got.Code)
	}
	r := local("GET", "/api/events")
	r.Host = "rebound.example"
	if got := s.ask(r); got.Code != 421 {
		t.Errorf("a name of others is answered %d", got.Code)
	}
}

// A page of another origin may not even ask: a browser that it holds would take places.
func TestPagesMayNotRead(t *testing.T) {
	for _, path := range []string{"/api/status", "/api/sessions", "/api/ends", "/api/configuration"} {
		for _, tc := range []struct {
			field, value string
			want         int
		}{
			{"Sec-Fetch-Site", "cross-site", 403},
			{"Sec-Fetch-Site", "same-site", 403},
			{"Sec-Fetch-Site", "same-origin", 200},
			{"Sec-Fetch-Site", "none", 200},
			{"Origin", "https://evil.example", 403},
			{"Origin", "http://127.0.0.1:8081", 200},
		} {
			r := local("GET", path)
			r.Header.Set(tc.field, tc.value)
			if got := testServer(Config{}).ask(r); got.Code != tc.want || got.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s with %s: %s is answered %d, want %d", path, tc.field, tc.value, got.Code, tc.want)
			}
		}
	}
	for _, path := range []string{"/api/events"} {
		r := local("GET", path)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if got := testServer(Config{}).ask(r); got.Code != 403 {
			t.Errorf("%s is answered %d", path, got.Code)
		}
	}
	link := local("GET", "/")
	link.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := testServer(Config{}).ask(link); got.Code != 200 {
		t.Errorf("a link to the page is answered %d", got.Code)
	}
}

const listens = "GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

// wantsStream reads until the first event.
func (a *asker) wantsStream(why string) {
	a.t.Helper()
	answer, err := http.ReadResponse(a.in, nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		a.t.Fatalf("%s: %v, %v", why, answer, err)
	}
	a.in = bufio.NewReader(answer.Body)
	a.wantsStatus(why)
}

// wantsStatus reads until the next status.
func (a *asker) wantsStatus(why string) {
	a.t.Helper()
	for {
		line, err := a.in.ReadString('\n')
		if err != nil {
			a.t.Fatalf("%s: %v", why, err)
		}
		if line == "event: status\n" {
			return
		}
	}
}

// Connections that are idle give way before a stream does.
func TestIdleConnectionsGiveWayToStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, server := newPipes(), testServer(Config{Connections: 4})
		serves(t, l, server.Serve, server.Close)
		stream := l.connects(t)
		stream.sends(listens)
		stream.wantsStream("the first")
		for range 3 {
			idle := l.connects(t)
			idle.sends(question)
			idle.wantsAnswer("there is room")
		}
		stream.wantsStatus("it was written when all others were idle")
		late := l.connects(t)
		late.sends(question)
		late.wantsAnswer("it takes the place of one that is idle")
		stream.wantsStatus("it goes on")
	})
}

// A stream gives way if no other connection does, so it keeps no scraper out.
func TestStreamGivesWay(t *testing.T) {
	l, server := listen(t), testServer(Config{Connections: 1})
	serves(t, l, server.Serve, server.Close)
	stream := connects(t, l)
	stream.sends(listens)
	stream.wantsStream("the first")
	scraper := connects(t, l)
	scraper.sends(question)
	scraper.wantsAnswer("a stream has the only place")
	if _, err := io.Copy(io.Discard, stream.in); err == nil {
		t.Error("the stream ends as if it were whole")
	}
}

// A stream outlives the deadlines of a request, and ends when the listener closes.
func TestStreamEndsAtAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, server := newPipes(), testServer(Config{})
		server.http.ReadTimeout = 5 * streamEvery / 2
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(l) }()
		stream := l.connects(t)
		stream.sends(listens)
		stream.wantsStream("the first")
		for range 10 {
			stream.wantsStatus("the deadline of the request is over")
		}
		server.Close()
		if _, err := io.Copy(io.Discard, stream.in); err == nil {
			t.Error("the stream ends as if it were whole")
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}
