package secure

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

func TestRecordSplitAtEveryByte(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		message := []byte("a message that comes in two parts")
		for at := 1; ; at++ {
			record := f.ciphertext(func() { f.sends(message) })
			if at == len(record) {
				f.throws(record)
				n.wantsNow("the whole record", message)
				return
			}
			f.throws(record[:at])
			n.wantsError("a part of a record is nothing yet", unix.EAGAIN)
			f.throws(record[at:])
			n.wantsNow("the rest completes it", message)
		}
	})
}

func TestManyRecordsInOneSegment(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		message := pattern(1000)
		f.throws(f.ciphertext(func() {
			for i := range message {
				f.sends(message[i : i+1])
			}
		}))
		n.wantsNow("all records that were received", message)
		n.wantsError("and no more", unix.EAGAIN)
	})
}

// TestReadLeavesNothingBehind reads only when the kernel says so, from a peer
// that fills the socket, with records cut anywhere.
func TestReadLeavesNothingBehind(t *testing.T) {
	for _, room := range []int{Room, readRoom} {
		everyWay(t, func(t *testing.T, w way) { leavesNothingBehind(t, w, room) })
	}
}

func leavesNothingBehind(t *testing.T, w way, room int) {
	n, f := connect(t, w)
	n.buf = n.buf[:room]
	stream := pattern(2 << 20)
	done := make(chan error, 1)
	go func() {
		for rest := stream; len(rest) > 0; {
			size := min(len(rest), 1+rand.IntN(40<<10))
			if _, err := f.Write(rest[:size]); err != nil {
				done <- err
				return
			}
			rest = rest[size:]
		}
		done <- nil
	}()
	n.wants("a long stream", stream)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPlaintextComesBeforeTheEnd(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		f.throws(f.ciphertext(func() {
			f.sends([]byte("the last words"))
			must(f.CloseWrite())
		}))
		n.wantsNow("what came before close_notify", []byte("the last words"))
		n.await(readable) // though the peer's TCP has not ended
		n.wantsError("then the end", io.EOF)
		n.wantsError("which is final", io.EOF)
	})
}

func TestPeerEndsItsHalfOnly(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		must(f.CloseWrite())
		n.wantsError("close_notify", io.EOF)
		n.sends([]byte("our half is open"))
		f.wants("it has ended its own half only", []byte("our half is open"))
	})
}

func TestTCPEndsWithoutCloseNotify(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		for _, cut := range []int{0, 3, 10} {
			n, f := connect(t, w)
			f.throws(f.ciphertext(func() { f.sends([]byte("whole")) }))
			f.throws(f.ciphertext(func() { f.sends([]byte("never completed")) })[:cut])
			must(f.valve.Conn.Close())
			n.wantsNow("a whole record", []byte("whole"))
			n.await(readable)
			n.wantsError("the end, inside a record or not", io.EOF)
			n.wantsError("which is final", io.EOF)
		}
	})
}

func TestGarbageGetsItsAlert(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		record := f.ciphertext(func() { f.sends([]byte("forged")) })
		record[len(record)-1] ^= 1
		f.throws(record)
		_, err := n.Read(n.buf, len(n.buf))
		if err == nil || err == errAgain || err == io.EOF {
			t.Fatalf("a forged record: %v", err)
		}
		n.wantsError("an error is final", err)
		_, err = f.Read(make([]byte, 1))
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "remote error" {
			t.Fatalf("the forger reads %v, want the alert", err)
		}
		if _, err := n.Write([]byte("x")); err == nil || err == errAgain {
			t.Fatalf("Write after a fatal alert: %v", err)
		}
	})
}

func TestPeerResets(t *testing.T) {
	n, f := connectTCP(t)
	conn := f.valve.Conn.(*net.TCPConn)
	must(conn.SetLinger(0))
	must(conn.Close())
	n.await(readable)
	n.wantsError("a reset", unix.ECONNRESET)
	if _, err := n.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("Write after a reset: %v", err)
	}
}

// TestEndComesUpOnTCP is TestPlaintextComesBeforeTheEnd on TCP, whose descriptor
// must become readable for an end that the kernel does not know of.
func TestEndComesUpOnTCP(t *testing.T) {
	n, f := connectTCP(t)
	f.throws(f.ciphertext(func() {
		f.sends([]byte("the last words"))
		must(f.CloseWrite())
	}))
	n.wants("what came before close_notify", []byte("the last words"))
	n.await(readable)
	n.wantsError("then the end", io.EOF)
	n.sends([]byte("an answer"))
	f.wants("our half is open", []byte("an answer"))
}

// connectTCP makes a connection over TCP.
func connectTCP(t *testing.T) (*near, *far) {
	fd, conn := tcpPair(t)
	n, f := connectOver(t, serverTLS13, fd, conn, nil)
	t.Cleanup(func() { must(n.Close()) })
	return n, f
}

// tcpPair is socketpair with TCP.
func tcpPair(t *testing.T) (int, *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	theirs, err := net.Dial("tcp", l.Addr().String())
	must(err)
	must(theirs.SetDeadline(soon()))
	ours, err := l.Accept()
	must(err)
	defer ours.Close()
	fd, err := socket.Duplicate(ours.(*net.TCPConn))
	must(err)
	return fd, theirs.(*net.TCPConn)
}

// TestRecordIsFollowedAnyhow gives the records' sizes out at every split of the
// stream, and with whatever appetite.
func TestRecordIsFollowedAnyhow(t *testing.T) {
	var stream []byte
	var bounds []int
	for _, size := range []int{0, 1, 2, 300, 0, 5, 70} {
		stream = append(stream, 23, 3, 3, byte(size>>8), byte(size))
		stream = append(stream, bytes.Repeat([]byte{0xff}, size)...)
		bounds = append(bounds, len(stream))
	}
	for step := 1; step <= len(stream); step++ {
		for appetite := 1; appetite <= 80; appetite++ {
			var r record
			var ends []int
			for at := 0; at < len(stream); {
				in := stream[at:min(len(stream), at+step)]
				n := min(appetite, r.measure(in))
				r.advance(n)
				at += n
				if r.held == 0 {
					ends = append(ends, at)
				}
			}
			if !slices.Equal(ends, bounds) {
				t.Fatalf("step %d, appetite %d: records end at %v, want %v", step, appetite, ends, bounds)
			}
		}
	}
}
