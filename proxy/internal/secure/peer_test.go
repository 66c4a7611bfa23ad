package secure

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fixture"
)

// patience is how long a test waits for what must happen. No test asserts that
// something took some time.
const patience = 20 * time.Second

func soon() time.Time { return time.Now().Add(patience) }

// A way is one of the roles and versions that a test is run in.
type way struct {
	name    string
	version uint16
	client  bool // ours is the client's end
}

var (
	serverTLS12 = way{"server, TLS 1.2", tls.VersionTLS12, false}
	serverTLS13 = way{"server, TLS 1.3", tls.VersionTLS13, false}
	clientTLS12 = way{"client, TLS 1.2", tls.VersionTLS12, true}
	clientTLS13 = way{"client, TLS 1.3", tls.VersionTLS13, true}

	ways = []way{serverTLS12, serverTLS13, clientTLS12, clientTLS13}
)

// everyWay runs a test as server and as client, in both versions.
func everyWay(t *testing.T, test func(t *testing.T, w way)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

const serverName = "service.test"

// certificate vouches for itself.
var certificate = sync.OnceValue(func() tls.Certificate { return fixture.SelfSigned(serverName, fixture.Soon()) })

// must is for what cannot fail on a machine that works.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (w way) server() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate()},
		MinVersion:   w.version,
		MaxVersion:   w.version,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // of TLS 1.2
	}
}

func (w way) dialer() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(certificate().Leaf)
	return &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: w.version, MaxVersion: w.version}
}

// conn makes our end over a descriptor.
func (w way) conn(fd int, early []byte) *Conn {
	if w.client {
		return Client(fd, w.dialer())
	}
	return Server(fd, early, w.server())
}

// socketpair returns our descriptor and the far end's connection.
func socketpair(t testing.TB) (int, *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(err)
	return fds[0], fileConn(fds[1]).(*net.UnixConn)
}

func fileConn(fd int) net.Conn {
	file := os.NewFile(uintptr(fd), "far end")
	defer file.Close()
	conn, err := net.FileConn(file)
	must(err)
	must(conn.SetDeadline(soon()))
	return conn
}

// A far is the far end: crypto/tls, over a valve.
type far struct {
	*tls.Conn
	t     testing.TB
	valve *valve
}

// errCut is what a far end reads whose stream ended without close_notify, which
// crypto/tls would not tell from one with it.
var errCut = errors.New("the connection ended without close_notify")

// A valve is the connection below a far end. It can hold back what is written.
type valve struct {
	net.Conn
	deaf     <-chan struct{} // reads wait for this, if not nil
	closed   bool            // what is written goes into held
	passing  int             // writes that still pass before it closes by itself, if not 0
	held     bytes.Buffer    // what is held back
	sentHead []byte          // what was written first
	readHead []byte          // what was read first
}

func (v *valve) Read(b []byte) (int, error) {
	if v.deaf != nil {
		<-v.deaf
	}
	n, err := v.Conn.Read(b)
	v.readHead = appendUpTo(v.readHead, b[:n], headKept)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

func (v *valve) Write(b []byte) (int, error) {
	v.sentHead = appendUpTo(v.sentHead, b, headKept)
	if v.closed {
		return v.held.Write(b)
	}
	if v.passing > 0 {
		v.passing--
		v.closed = v.passing == 0
	}
	return v.Conn.Write(b)
}

// SetWriteDeadline does nothing: with close_notify crypto/tls sets one that would
// keep a test from throwing more.
func (v *valve) SetWriteDeadline(time.Time) error { return nil }

// headKept is enough for a hello.
const headKept = 4 << 10

func appendUpTo(to, b []byte, size int) []byte {
	return append(to, b[:min(len(b), size-len(to))]...)
}

// ciphertext returns the records that write makes, which are not sent.
func (f *far) ciphertext(write func()) []byte {
	f.valve.closed = true
	write()
	f.valve.closed = false
	return f.taken()
}

// taken returns what is held back.
func (f *far) taken() []byte {
	held := bytes.Clone(f.valve.held.Bytes())
	f.valve.held.Reset()
	return held
}

// throws sends bytes beside crypto/tls.
func (f *far) throws(b []byte) {
	f.t.Helper()
	if _, err := f.valve.Conn.Write(b); err != nil {
		f.t.Fatalf("far end throws: %v", err)
	}
}

func (f *far) sends(b []byte) {
	f.t.Helper()
	if _, err := f.Write(b); err != nil {
		f.t.Fatalf("far end sends: %v", err)
	}
}

func (f *far) wants(why string, want []byte) {
	f.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want) {
		f.t.Fatalf("%s: far end read %.40q, %v; want %.40q", why, got, err, want)
	}
}

func (f *far) wantsEnd(why string, want error) {
	f.t.Helper()
	if n, err := f.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		f.t.Fatalf("%s: far end read %d bytes, %v; want %v", why, n, err, want)
	}
}

// A near is our end on a loop, which waits where a loop would.
type near struct {
	*Conn
	t   testing.TB
	buf []byte
}

const (
	readable = unix.POLLIN
	writable = unix.POLLOUT
)

// await waits for readiness.
func (n *near) await(what int16) {
	n.t.Helper()
	if n.ready(what, int(patience.Milliseconds())) == 0 {
		n.t.Fatalf("the descriptor does not become ready for %#x", what)
	}
}

func (n *near) ready(what int16, timeout int) int16 {
	fds := []unix.PollFd{{Fd: int32(n.FD()), Events: what}}
	for {
		_, err := unix.Poll(fds, timeout)
		if err == unix.EINTR {
			continue
		}
		must(err)
		return fds[0].Revents
	}
}

// wants reads, as often as the descriptor is readable.
func (n *near) wants(why string, want []byte) {
	n.t.Helper()
	var got []byte
	for len(got) < len(want) {
		n.await(readable)
		got = append(got, n.reads(why)...)
	}
	if !bytes.Equal(got, want) {
		n.t.Fatalf("%s: read %.40q, want %.40q", why, got, want)
	}
}

// reads is one Read that may find nothing.
func (n *near) reads(why string) []byte {
	n.t.Helper()
	size, err := n.Read(n.buf, len(n.buf))
	if err != nil && err != errAgain {
		n.t.Fatalf("%s: %v", why, err)
	}
	return n.buf[:size]
}

// wantsNow is one Read that brings all of want.
func (n *near) wantsNow(why string, want []byte) {
	n.t.Helper()
	if got := n.reads(why); !bytes.Equal(got, want) {
		n.t.Fatalf("%s: one Read brought %.40q, want %.40q", why, got, want)
	}
}

// wantsError is one Read that fails.
func (n *near) wantsError(why string, want error) {
	n.t.Helper()
	if size, err := n.Read(n.buf, len(n.buf)); size != 0 || !errors.Is(err, want) {
		n.t.Fatalf("%s: read %d bytes, %v; want %v", why, size, err, want)
	}
}

// sends writes all of b, as often as the descriptor is writable.
func (n *near) sends(b []byte) {
	n.t.Helper()
	for len(b) > 0 {
		n.await(writable)
		size, err := n.Write(b)
		if err != nil && err != errAgain {
			n.t.Fatalf("write: %v", err)
		}
		b = b[size:]
	}
}

// board puts our end on a loop of its own, and makes the Read that follows.
func board(t testing.TB, c *Conn) *near {
	n := &near{Conn: c, t: t, buf: make([]byte, readRoom)}
	c.Adopt(new(Scratch))
	return n
}

// readRoom is a little less than what a recv brings at the most.
const readRoom = 63 << 10

// handshake performs our end's half in a goroutine.
func handshake(c *Conn) <-chan error {
	done := make(chan error, 1)
	go shake(c, done)
	return done
}

func shake(c *Conn, done chan<- error) { done <- c.Handshake(soon()) }

// farEnd makes the other end of ours.
func farEnd(t testing.TB, w way, conn net.Conn, adjust func(*tls.Config)) *far {
	t.Cleanup(func() { _ = conn.Close() }) // some tests close it themselves
	return newFar(t, w, conn, adjust)
}

func newFar(t testing.TB, w way, conn net.Conn, adjust func(*tls.Config)) *far {
	v := &valve{Conn: conn}
	make, config := tls.Client, w.dialer()
	if w.client {
		make, config = tls.Server, w.server()
	}
	if adjust != nil {
		adjust(config)
	}
	return &far{Conn: make(v, config), t: t, valve: v}
}

// connect makes a connection that is on a loop.
func connect(t testing.TB, w way) (*near, *far) {
	t.Helper()
	n, f := connectNoClose(t, w, nil)
	t.Cleanup(func() { must(n.Close()) })
	return n, f
}

// connectNoClose is connect for tests that close our end.
func connectNoClose(t testing.TB, w way, adjust func(*tls.Config)) (*near, *far) {
	t.Helper()
	fd, conn := socketpair(t)
	return connectOver(t, w, fd, conn, adjust)
}

func connectOver(t testing.TB, w way, fd int, conn net.Conn, adjust func(*tls.Config)) (*near, *far) {
	t.Helper()
	c, f := w.conn(fd, nil), farEnd(t, w, conn, adjust)
	secured(t, c, f)
	n := board(t, c)
	n.wantsNow("nothing came with the handshake", nil)
	return n, f
}

// largeRecords lets a far end begin with records of the full size.
func largeRecords(c *tls.Config) { c.DynamicRecordSizingDisabled = true }

// secured completes a handshake.
func secured(t testing.TB, c *Conn, f *far) {
	t.Helper()
	done := handshake(c)
	if err := f.Handshake(); err != nil {
		t.Fatalf("far end's handshake: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("handshake: %v", err)
	}
}

// pattern is a stream in which no two places look alike.
func pattern(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // it never fails
	return b
}

// wantsBegun waits until our end's handshake has written something. The far end
// must be deaf.
func (f *far) wantsBegun() {
	f.t.Helper()
	raw, err := f.valve.Conn.(syscall.Conn).SyscallConn()
	must(err)
	must(raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		return err != unix.EAGAIN
	}))
}
