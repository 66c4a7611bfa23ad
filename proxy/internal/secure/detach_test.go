package secure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
)

// TestAshoreAndBack moves a connection while bytes are pending both ways: our
// ciphertext that the socket did not take, the peer's plaintext that nobody read.
func TestAshoreAndBack(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connectNoClose(t, w, nil)
		stream, taken := n.stuff()
		tail := append(stream[taken:], pattern(300)...)
		stream = append(stream[:taken:taken], tail...)
		received := make(chan []byte, 1)
		f.sends([]byte("one, two, three"))

		detached, err := n.Detach()
		must(err)
		must(detached.SetDeadline(soon()))
		go func() { received <- readAll(f, len(stream)) }()
		if size, err := detached.Write(tail); size != len(tail) || err != nil {
			t.Fatalf("Write detached took %d of %d bytes, %v", size, len(tail), err)
		}
		if got := <-received; !bytes.Equal(got, stream) {
			t.Fatal("what the far end read is not what was written")
		}
		wantsFrom(t, detached, "one, ")

		back, ours, err := Attach(detached)
		if !ours || err != nil {
			t.Fatalf("Attach: %t, %v", ours, err)
		}
		n = board(t, back)
		n.wantsNow("what was decrypted detached and not read there", []byte("two, three"))
		f.sends([]byte(", four"))
		n.wantsNow("what comes next", []byte(", four"))
		n.sends([]byte("five"))
		f.wants("the other way", []byte("five"))
		must(n.Close())
		f.wantsEnd("close_notify", io.EOF)
	})
}

func wantsFrom(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// TestAshoreOwesOnlyOldBytes makes the first Write after the detachment one of nothing else.
func TestAshoreOwesOnlyOldBytes(t *testing.T) {
	n, f := connectNoClose(t, serverTLS13, nil)
	stream, taken := n.stuff()
	detached, err := n.Detach()
	must(err)
	must(detached.SetDeadline(soon()))
	received := make(chan []byte, 1)
	go func() { received <- readAll(f, len(stream)) }()
	for _, b := range [][]byte{stream[taken : taken+1], stream[taken+1:]} {
		if size, err := detached.Write(b); size != len(b) || err != nil {
			t.Fatalf("Write detached took %d of %d bytes, %v", size, len(b), err)
		}
	}
	if got := <-received; !bytes.Equal(got, stream) {
		t.Fatal("what the far end read is not what was written")
	}
	must(detached.Close())
}

// TestAshoreWithRecordInHand leaves and comes back in the middle of a record.
func TestAshoreWithRecordInHand(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connectNoClose(t, w, largeRecords)
		message := pattern(16 << 10)
		record := f.ciphertext(func() { f.sends(message) })
		third := len(record) / 3
		f.throws(record[:third])
		n.wantsNow("a part is nothing yet", nil)
		detached, err := n.Detach()
		must(err)
		f.throws(record[third : 2*third])
		must(detached.SetReadDeadline(inThePast))
		if _, err := detached.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read detached of two thirds: %v", err)
		}
		back, _, err := Attach(detached)
		must(err)
		n = board(t, back)
		f.throws(record[2*third:])
		n.wants("the whole message", message)
		must(n.Close())
	})
}

func TestAshoreEnds(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connectNoClose(t, w, nil)
		detached, err := n.Detach()
		must(err)
		must(detached.(interface{ CloseWrite() error }).CloseWrite())
		f.wantsEnd("close_notify", io.EOF)
		f.sends([]byte("the answer"))
		wantsFrom(t, detached, "the answer")
		must(f.CloseWrite())
		if _, err := detached.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read after the peer's close_notify: %v", err)
		}
		must(detached.Close())
	})
}

func TestAshoreWriteDeadlineEndsTheStream(t *testing.T) {
	n, f := connectNoClose(t, serverTLS13, nil)
	detached, err := n.Detach()
	must(err)
	fillAshore(t, detached)
	_ = detached.Close() // it cannot send close_notify, which must not follow half a record, and says so
	_, err = io.Copy(io.Discard, f)
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errCut) {
		t.Errorf("the far end of a stream that was cut reads %v", err)
	}
}

// fillAshore writes until the socket is full and the deadline has passed.
func fillAshore(t *testing.T, conn net.Conn) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
				done <- err
				return
			}
		}
	}()
	must(conn.SetWriteDeadline(inThePast))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write to a full socket: %v", err)
	}
}

func TestAboardOfAStranger(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if c, ours, err := Attach(a); c != nil || ours || err != nil {
		t.Errorf("Attach of a pipe: %v, %t, %v", c, ours, err)
	}
}

// TestAshoreServesHTTP is what it is for: net/http's server has the connection
// for a request, and gives it back for the next one.
func TestAshoreServesHTTP(t *testing.T) {
	fd, conn := tcpPair(t)
	n, f := connectOver(t, serverTLS13, fd, conn, nil)
	remote := conn.LocalAddr().String()
	back := make(chan *Conn, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprint(w, r.RemoteAddr)
			return
		}
		hijacked, _, err := w.(http.Hijacker).Hijack()
		must(err)
		c, _, err := Attach(hijacked)
		must(err)
		back <- c
	})}
	detached, err := n.Detach()
	must(err)
	l := &single{conn: detached, closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	f.sends([]byte("GET / HTTP/1.1\r\nHost: service.test\r\n\r\n"))
	response, err := http.ReadResponse(bufio.NewReader(f), nil)
	must(err)
	body, err := io.ReadAll(response.Body)
	if string(body) != remote || err != nil {
		t.Errorf("the handler saw %q, %v; want %q", body, err, remote)
	}
	f.sends([]byte("GET /back HTTP/1.1\r\nHost: service.test\r\n\r\n"))
	n = board(t, <-back)
	n.wantsNow("nothing else came", nil)
	n.sends([]byte("from the loop"))
	f.wants("it is on the loop again", []byte("from the loop"))
	must(server.Close())
	<-served
	must(n.Close())
}

// single is a listener for one connection that is there already.
type single struct {
	conn   net.Conn
	closed chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	if conn := s.conn; conn != nil {
		s.conn = nil
		return conn, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	close(s.closed)
	return nil
}

func (s *single) Addr() net.Addr { return unnamed{} }
