package secure

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// wantsClosed checks that nobody has the far end's peer open.
func wantsClosed(t *testing.T, why string, f *far) {
	t.Helper()
	if n, err := f.valve.Conn.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%s: read %d bytes, %v; want the end of the connection", why, n, err)
	}
}

// silent is a connection whose far end does nothing.
func silent(t *testing.T, w way) (*Conn, *far) {
	fd, conn := socketpair(t)
	return w.conn(fd, nil), farEnd(t, w, conn, nil)
}

func TestHandshakeDeadline(t *testing.T) {
	for name, left := range map[string]time.Duration{"passes": 10 * time.Millisecond, "has passed": -time.Second} {
		t.Run(name, func(t *testing.T) {
			c, f := silent(t, serverTLS13)
			if err := c.Handshake(time.Now().Add(left)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("handshake with a silent peer: %v", err)
			}
			wantsClosed(t, "after its deadline", f)
		})
	}
}

func TestHandshakeWithGarbage(t *testing.T) {
	c, f := silent(t, serverTLS13)
	f.throws([]byte("GET / HTTP/1.1\r\nHost: service.test\r\n\r\n"))
	var header tls.RecordHeaderError
	if err := c.Handshake(soon()); !errors.As(err, &header) {
		t.Errorf("handshake with a peer that speaks HTTP: %v", err)
	}
	wantsClosed(t, "after garbage", f)
}

func TestHandshakeWithPeerThatLeaves(t *testing.T) {
	for name, sent := range map[string][]byte{"at once": nil, "inside a record": {22, 3, 1, 2, 0, 1}} {
		t.Run(name, func(t *testing.T) {
			c, f := silent(t, serverTLS13)
			f.throws(sent)
			must(f.valve.Conn.Close())
			if err := c.Handshake(soon()); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("handshake with a peer that left: %v", err)
			}
		})
	}
}

func TestAbortBeforeTheHandshake(t *testing.T) {
	c, f := silent(t, serverTLS13)
	c.Abort()
	c.Abort()
	if err := c.Handshake(soon()); err != ErrAborted {
		t.Errorf("handshake after Abort: %v", err)
	}
	wantsClosed(t, "after Abort", f)
}

func TestAbortDuringTheHandshake(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		c, f := silent(t, w)
		hear := make(chan struct{})
		f.valve.deaf = hear
		done, theirs := handshake(c), make(chan struct{})
		go func() {
			_ = f.Handshake() // it depends on the version who notices first
			close(theirs)
		}()
		f.wantsBegun()
		c.Abort()
		if err := <-done; err != ErrAborted {
			t.Errorf("handshake that was aborted: %v", err)
		}
		c.Abort()
		close(hear)
		<-theirs
	})
}

func TestAbortComesTooLate(t *testing.T) {
	c, f := silent(t, serverTLS13)
	secured(t, c, f)
	c.Abort()
	n := board(t, c)
	n.sends([]byte("unharmed"))
	f.wants("the handshake had succeeded", []byte("unharmed"))
	conn, err := n.Detach()
	must(err)
	c.Abort()
	if _, err := conn.Write([]byte("unharmed")); err != nil {
		t.Errorf("Abort reaches a connection that is detached: %v", err)
	}
	f.wants("detached, too", []byte("unharmed"))
	must(conn.Close())
}

// TestAbortRacesWithTheEnd lets both happen at once: one of two outcomes, and in
// both the descriptor has an owner.
func TestAbortRacesWithTheEnd(t *testing.T) {
	for range 100 {
		c, f := silent(t, serverTLS13)
		done := handshake(c)
		aborted := make(chan struct{})
		go func() {
			for range rand.IntN(300) {
				runtime.Gosched()
			}
			c.Abort()
			close(aborted)
		}()
		_ = f.Handshake() // it may fail
		<-aborted
		switch err := <-done; err {
		case nil:
			must(c.Close())
		case ErrAborted:
		default:
			t.Fatalf("handshake: %v", err)
		}
		must(f.valve.Conn.Close())
	}
}

func TestEarlyBytes(t *testing.T) {
	w := serverTLS13
	fd, conn := socketpair(t)
	f := farEnd(t, w, conn, nil)
	done := make(chan error, 1)
	go func() { done <- f.Handshake() }()
	waiting := &near{Conn: &Conn{fd: fd}, t: t}
	waiting.await(readable)
	early := make([]byte, 100)
	size, err := socket.Receive(fd, early)
	must(err)

	c := Server(fd, early[:size], w.server())
	if err := c.Handshake(soon()); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("far end's handshake: %v", err)
	}
	n := board(t, c)
	n.wantsNow("nothing came with the handshake", nil)
	f.sends([]byte("hello"))
	n.wantsNow("it goes on", []byte("hello"))
	must(n.Close())
}

// TestRequestInTheHandshakesLastSegment lets it be read with the handshake, so that
// of a short one the kernel has nothing to announce.
func TestRequestInTheHandshakesLastSegment(t *testing.T) {
	// The other two ways round it is our end that completes the handshake.
	for _, w := range []way{serverTLS13, clientTLS12} {
		t.Run(w.name, func(t *testing.T) {
			short := pattern(300)
			n, f := connectWith(t, w, short)
			if n.ready(readable, 0) != 0 {
				t.Error("the request has not been read with the handshake")
			}
			n.wantsNow("what is in user space", short)
			f.sends([]byte("more"))
			n.wantsNow("what comes next", []byte("more"))

			long := pattern(20 << 10)
			n, _ = connectWith(t, w, long)
			begun := bytes.Clone(n.reads("what is in user space"))
			n.wants("the rest is announced by the kernel", long[len(begun):])
			if !bytes.HasPrefix(long, begun) {
				t.Error("what is in user space is not the request")
			}
		})
	}
}

// connectWith makes a connection whose far end sends its request in one segment
// with the end of the handshake. The Read after Adopt is not made yet.
func connectWith(t *testing.T, w way, request []byte) (*near, *far) {
	t.Helper()
	fd, conn := socketpair(t)
	c, f := w.conn(fd, nil), farEnd(t, w, conn, nil)
	f.valve.passing = 1 // the hello, or the flight behind it
	done := handshake(c)
	if err := f.Handshake(); err != nil {
		t.Fatalf("far end's handshake: %v", err)
	}
	for b := range slices.Chunk(request, 100) {
		f.sends(b)
	}
	f.throws(f.taken())
	f.valve.closed = false
	if err := <-done; err != nil {
		t.Fatalf("handshake: %v", err)
	}
	n := board(t, c)
	t.Cleanup(func() { must(n.Close()) })
	return n, f
}

func TestConnectionState(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, _ := connect(t, w)
		state := n.ConnectionState()
		if !state.HandshakeComplete || state.Version != w.version || !w.client && state.ServerName != serverName {
			t.Errorf("state %+v", state)
		}
	})
}

// A handshake that panics closes its descriptor, and so does a Close.
func TestPanicClosesTheDescriptor(t *testing.T) {
	panicking := func(t *testing.T, do func()) {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		do()
	}
	t.Run("handshake", func(t *testing.T) {
		fd, conn := socketpair(t)
		c := Server(fd, nil, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			panic("in the configuration")
		}})
		far := make(chan error, 1)
		go func() { far <- tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
		panicking(t, func() { _ = c.Handshake(soon()) })
		if err := <-far; err == nil {
			t.Error("the far end's handshake has succeeded")
		}
	})
	t.Run("close", func(t *testing.T) {
		fd, conn := socketpair(t)
		c := &Conn{fd: fd, scratch: new(Scratch)} // without a tls.Conn
		panicking(t, func() { _ = c.Close() })
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the far end reads %d bytes, %v, want the end", n, err)
		}
	})
}
