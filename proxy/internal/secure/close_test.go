package secure

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCloseTellsThePeer(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connectNoClose(t, w, nil)
		n.sends([]byte("goodbye"))
		must(n.Close())
		f.wants("what was sent before", []byte("goodbye"))
		f.wantsEnd("close_notify", io.EOF)
	})
}

func TestCloseWriteLeavesThePeersHalfOpen(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		n.sends([]byte("goodbye"))
		must(n.CloseWrite())
		f.wants("what was sent before", []byte("goodbye"))
		f.wantsEnd("close_notify", io.EOF)
		if _, err := f.valve.Conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("TCP after close_notify: %v", err)
		}
		if _, err := n.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		f.sends([]byte("the answer"))
		n.wantsNow("the peer's half is open", []byte("the answer"))
		must(f.CloseWrite())
		n.wantsError("until the peer ends it", io.EOF)
	})
}

func TestLastBytesArriveWithTheEnd(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		const words = "goodbye"
		if size, err := n.WriteLast([]byte(words)); size != len(words) || err != nil {
			t.Fatalf("WriteLast took %d of %d bytes, %v", size, len(words), err)
		}
		must(n.CloseWrite())
		f.wants("what was written last", []byte(words))
		f.wantsEnd("close_notify", io.EOF)
	})
}

// ends are the two ways to end a stream, and the descriptor with it.
var ends = map[string]func(n *near){
	"Close": func(n *near) { must(n.Close()) },
	"CloseWrite": func(n *near) {
		must(n.CloseWrite())
		must(n.Close())
	},
}

// TestHalfRecordIsFollowedByNothing ends connections that have a part of a
// record in the kernel.
func TestHalfRecordIsFollowedByNothing(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			n, f := connectNoClose(t, serverTLS13, nil)
			stream, taken := n.stuff()
			end(n)
			f.wants("what was taken before the last Write", stream[:taken-taken%maxWrite])
			_, err := io.Copy(io.Discard, f)
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errCut) {
				t.Errorf("the far end of a stream that was cut reads %v", err)
			}
		})
	}
}

// TestCutStreamDoesNotLookWhole has room for close_notify by the time of the
// end. It would say that nothing was lost.
func TestCutStreamDoesNotLookWhole(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			n, f := connectNoClose(t, serverTLS13, nil)
			filler := fill(t, n.FD())
			if size, err := n.Write([]byte("lost")); size != 0 || err != errAgain {
				t.Fatalf("Write to a full socket took %d bytes, %v", size, err)
			}
			drain(t, f, filler)
			end(n)
			f.wantsEnd("a Write was not completed", errCut)
		})
	}
}

func TestCloseWithoutALoop(t *testing.T) {
	w := serverTLS13
	fd, conn := socketpair(t)
	c, f := w.conn(fd, nil), farEnd(t, w, conn, nil)
	secured(t, c, f)
	must(c.Close())
	f.wantsEnd("its TCP has ended", errCut)
}
