package secure

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// keptLimit is the most that may be kept of one Write: a record, what goes with
// it, and what makes ciphertext longer. A connection's first records are small,
// so that there may be a dozen of them in its place.
const keptLimit = maxWrite + maxRest + 1<<10

// A sender is what a loop does with a leg: it keeps what Write did not take in a
// tail, and writes the tail when the descriptor is writable. It checks every Write.
type sender struct {
	*near
	tail  []byte
	spins int // writes that took nothing
}

func (s *sender) sends(b []byte) {
	s.t.Helper()
	s.tail = append(s.tail, b...)
	n, err := s.Write(s.tail)
	if err != nil && err != errAgain {
		s.t.Fatalf("write: %v", err)
	}
	if (n == 0) != (err == errAgain) {
		s.t.Fatalf("Write took %d of %d bytes and said %v", n, len(s.tail), err)
	}
	if all := n == len(s.tail); all != (len(s.kept) == 0 && s.owed == 0) {
		s.t.Fatalf("Write took %d of %d bytes, and %d bytes of ciphertext are kept for %d", n, len(s.tail), len(s.kept), s.owed)
	}
	if s.owed > len(s.kept) || (s.owed == 0) != (len(s.kept) == 0) {
		s.t.Fatalf("%d bytes are owed for %d that are kept", s.owed, len(s.kept))
	}
	if len(s.kept) > keptLimit {
		s.t.Fatalf("%d bytes of ciphertext are kept, more than %d", len(s.kept), keptLimit)
	}
	if n == 0 {
		s.spins++
	}
	s.tail = s.tail[n:]
}

// tiny makes the socket take little at a time.
func tiny(fd int) {
	must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1))
}

func TestMegabyteBothWaysThroughTinyBuffers(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		tiny(n.FD())
		up, down := pattern(1<<20), pattern(1<<20)
		received := make(chan []byte, 1)
		written := make(chan error, 1)
		go func() { received <- readAll(f, len(down)) }()
		go func() {
			_, err := f.Write(up)
			written <- err
		}()

		s := &sender{near: n}
		var got []byte
		for rest := down; len(got) < len(up) || len(rest)+len(s.tail) > 0; {
			events := int16(readable)
			if len(s.tail) > 0 {
				events |= writable
			}
			if events = n.pending(events, len(rest) > 0 && len(s.tail) == 0); events&readable != 0 {
				got = append(got, n.reads("what the far end sends")...)
			}
			switch size := min(len(rest), 1+rand.IntN(readRoom)); {
			case len(s.tail) == 0 && size > 0:
				s.sends(rest[:size])
				rest = rest[size:]
			case events&writable != 0:
				s.sends(nil)
			}
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, up) {
			t.Error("what was read is not what the far end wrote")
		}
		if !bytes.Equal(<-received, down) {
			t.Error("what the far end read is not what was written")
		}
	})
}

// pending returns what the descriptor is ready for; it waits unless there is
// something else to do.
func (n *near) pending(events int16, busy bool) int16 {
	n.t.Helper()
	if busy {
		return n.ready(events, 0)
	}
	n.await(events)
	return n.ready(events, 0)
}

// readAll reads size bytes in pieces of all sizes, and what it got if there are fewer.
func readAll(r io.Reader, size int) (all []byte) {
	b := make([]byte, 20<<10)
	for len(all) < size {
		n, err := r.Read(b[:1+rand.IntN(len(b))])
		all = append(all, b[:n]...)
		if err != nil {
			break
		}
	}
	return all
}

// stuff writes until the far end, which does not read, makes Write fall short.
func (n *near) stuff() (stream []byte, taken int) {
	n.t.Helper()
	for {
		b := pattern(maxWrite)
		stream = append(stream, b...)
		size, err := n.Write(b)
		if err != nil && err != errAgain {
			n.t.Fatalf("write: %v", err)
		}
		taken += size
		if size < len(b) {
			return stream, taken
		}
	}
}

func TestPeerThatNeverReads(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connectNoClose(t, w, nil)
		stream, taken := n.stuff()
		for range 10 {
			if size, err := n.Write(stream[taken:]); size != 0 || err != errAgain {
				t.Fatalf("Write to a full socket took %d bytes, %v", size, err)
			}
		}
		if len(n.kept) > keptLimit {
			t.Errorf("%d bytes are kept for one Write, more than %d", len(n.kept), keptLimit)
		}
		must(n.Close())
		f.wants("everything that was taken is there", stream[:taken-taken%maxWrite])
		_, err := io.Copy(io.Discard, f)
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errCut) {
			t.Errorf("the far end of a stream that was cut reads %v", err)
		}
	})
}

// TestKeptIsAtMostARecord lets sockets with buffers of all sizes take what they
// like of writes of all sizes. sends checks what is kept after each of them.
func TestKeptIsAtMostARecord(t *testing.T) {
	unixPair := func(t *testing.T) (*near, *far) { return connect(t, serverTLS13) }
	for network, connect := range map[string]func(*testing.T) (*near, *far){"tcp": connectTCP, "unix": unixPair} {
		for _, buffer := range []int{1, 8 << 10, 16 << 10, 20 << 10, 33 << 10, 64 << 10, 200 << 10} {
			for _, size := range []int{1, 1000, maxWrite, maxWrite + maxRest, maxWrite + maxRest + 1, 2 * maxWrite, readRoom} {
				t.Run(fmt.Sprintf("%s, a buffer of %d, writes of %d", network, buffer, size), func(t *testing.T) {
					n, f := connect(t)
					must(unix.SetsockoptInt(n.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, buffer))
					fallsShort(t, n, f, pattern(size))
				})
			}
		}
	}
}

// fallsShort writes message until the socket does not take all of it, then has the
// far end read, and wants everything to arrive.
func fallsShort(t *testing.T, n *near, f *far, message []byte) {
	s := &sender{near: n}
	written := 0
	for len(s.tail) == 0 {
		s.sends(message)
		written += len(message)
	}
	read := make(chan []byte, 1)
	go func() { read <- readAll(f, written) }()
	for len(s.tail) > 0 {
		n.await(writable)
		s.sends(nil)
	}
	if got := <-read; !bytes.Equal(got, bytes.Repeat(message, written/len(message))) {
		t.Errorf("of %d bytes written the far end has read %d, or others", written, len(got))
	}
}

// TestLastByteLeavesWithTheCiphertext watches a single byte of plaintext.
func TestLastByteLeavesWithTheCiphertext(t *testing.T) {
	n, f := connect(t, serverTLS13)
	filler := fill(t, n.FD())
	if size, err := n.Write([]byte("!")); size != 0 || err != errAgain {
		t.Fatalf("Write to a full socket took %d bytes, %v", size, err)
	}
	if size, err := n.Write([]byte("!?")); size != 0 || err != errAgain {
		t.Fatalf("Write of more to a full socket took %d bytes, %v", size, err)
	}
	drain(t, f, filler)
	if size, err := n.Write([]byte("!?")); size != 2 || err != nil {
		t.Fatalf("Write to an empty socket took %d bytes, %v", size, err)
	}
	f.wants("both bytes, once", []byte("!?"))
}

// fill makes a socket full, beside TLS, and returns with how much.
func fill(t *testing.T, fd int) (filler int) {
	t.Helper()
	for _, size := range []int{64 << 10, 1} { // a large write may not fit where a small one does
		for {
			n, err := socket.Send(fd, make([]byte, size), false)
			if err == errAgain {
				break
			}
			must(err)
			filler += n
		}
	}
	return filler
}

// drain reads what fill wrote.
func drain(t *testing.T, f *far, filler int) {
	t.Helper()
	if _, err := io.CopyN(io.Discard, f.valve.Conn, int64(filler)); err != nil {
		t.Fatalf("drain: %v", err)
	}
}

func TestStillOwed(t *testing.T) {
	for _, c := range []struct {
		owed, before, after int
		want                int
		why                 string
	}{
		{100, 122, 122, 100, "the socket took nothing"},
		{100, 122, 61, 50, "it took half"},
		{100, 122, 121, 99, "any progress is told"},
		{100, 122, 1, 1, "but of the last byte"},
		{1, 23, 22, 1, "which may be the only one"},
		{100, 122, 0, 0, "until all is gone"},
		{0, 27, 5, 0, "an answer that crypto/tls made is nobody's bytes"},
		{0, 0, 0, 0, "nothing to do"},
	} {
		if got := stillOwed(c.owed, c.before, c.after); got != c.want {
			t.Errorf("of %d owed, %d of %d bytes kept: still owed %d, want %d: %s", c.owed, c.after, c.before, got, c.want, c.why)
		}
	}
}

func TestWriteToClosedPeer(t *testing.T) {
	n, f := connect(t, serverTLS13)
	must(f.valve.Conn.Close())
	for range 2 {
		if size, err := n.Write([]byte("x")); size != 0 || !errors.Is(err, unix.EPIPE) {
			t.Fatalf("Write took %d bytes, %v; want EPIPE", size, err)
		}
	}
}

func TestWriteWithoutTheLeftOverBytes(t *testing.T) {
	n, _ := connect(t, serverTLS13)
	n.stuff()
	defer func() {
		if recover() == nil {
			t.Error("Write of fewer bytes than the last one left over does not panic")
		}
	}()
	_, _ = n.Write([]byte("x")) // it panics
}
