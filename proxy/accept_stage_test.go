package proxy

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// listens gives the stage's loop a listener on a socket that the test has too, as
// another process would.
func (st *stage) listens() *net.TCPListener {
	st.t.Helper()
	theirs, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { theirs.Close() })
	file, err := theirs.File()
	if err != nil {
		st.t.Fatal(err)
	}
	defer file.Close()
	ours, err := listen(&Config{ListenFile: file}, socket.Options{})
	if err != nil {
		st.t.Fatal(err)
	}
	st.l.listener, st.server.listener = ours, ours
	st.t.Cleanup(st.l.stopAccept)
	return theirs
}

// queues makes a client's connection, which waits in the listener's queue.
func (st *stage) queues(to *net.TCPListener) *net.TCPConn {
	st.t.Helper()
	conn, err := net.DialTCP("tcp", nil, to.Addr().(*net.TCPAddr))
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { conn.Close() })
	return conn
}

// makeBlocking is what another process may do to a socket that it shares.
func (st *stage) makeBlocking(l *net.TCPListener) {
	st.t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		st.t.Fatal(err)
	}
	fault := raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), false) })
	if fault != nil || err != nil {
		st.t.Fatal(fault, err)
	}
}

// The loop would stand still in accept, and this test with it.
func TestSharedListenerMadeBlocking(t *testing.T) {
	st := newStage(t, nil)
	theirs := st.listens()
	st.l.startAccept()
	st.makeBlocking(theirs)
	st.queues(theirs)
	st.run()
	if st.l.table.live != 1 {
		t.Fatalf("%d clients were accepted, want 1", st.l.table.live)
	}
	st.makeBlocking(theirs)
	if st.l.acceptAll() {
		t.Error("there may be more clients, where another process has taken them")
	}
	st.queues(theirs)
	st.queues(theirs)
	st.run()
	if st.l.table.live != 3 {
		t.Errorf("%d clients were accepted, want 3", st.l.table.live)
	}
}

// Closing our descriptor does not take a socket out of epoll that somebody else has too.
func TestStoppedSharedListenerIsNotWatched(t *testing.T) {
	st := newStage(t, nil)
	theirs := st.listens()
	st.l.startAccept()
	st.l.stopAccept()
	st.queues(theirs)
	st.run() // which fails if the loop spins
	if st.l.table.live != 0 {
		t.Error("a client was accepted after the listener was closed")
	}
}

// A listener that the kernel has no room to watch is tried again.
func TestListenerIsRegisteredLater(t *testing.T) {
	st := newStage(t, nil)
	theirs := st.listens()
	roomy := st.l.kernel
	st.l.kernel = crampedKernel{roomy}
	st.l.startAccept()
	if !strings.Contains(st.log.String(), "no space left on device") {
		t.Errorf("the log says nothing of it:\n%s", st.log.String())
	}
	st.pass(3 * acceptPause)
	st.l.kernel = roomy
	st.pass(acceptPause)
	st.queues(theirs)
	st.run()
	if st.l.table.live != 1 {
		t.Errorf("%d clients were accepted when there was room again, want 1", st.l.table.live)
	}
}
