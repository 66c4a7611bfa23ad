package secure

import (
	"crypto/tls"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/race"
	"holdfast/proxy/internal/socket"
)

// TestSmallMessagesCostNoGarbage pins what a small message allocates.
func TestSmallMessagesCostNoGarbage(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes garbage of pooled buffers")
	}
	everyWay(t, func(t *testing.T, w way) {
		n, f := connect(t, w)
		const runs = 200
		message := []byte("a small message")
		records := make([][]byte, runs+2)
		for i := range records {
			records[i] = f.ciphertext(func() { f.sends(message) })
		}
		far := rawOf(f)
		t.Cleanup(func() { must(socket.Close(far)) })

		got := testing.AllocsPerRun(runs, func() {
			sendAll(t, far, records[0])
			records = records[1:]
			if size, err := n.Read(n.buf, len(n.buf)); size != len(message) || err != nil {
				t.Fatalf("Read: %d bytes, %v", size, err)
			}
		})
		// crypto/tls itself allocates the reader that counts what it wants.
		if got > 1 {
			t.Errorf("Read allocates %v times", got)
		}
		drained := make([]byte, 1024)
		got = testing.AllocsPerRun(runs, func() {
			if size, err := n.Write(message); size != len(message) || err != nil {
				t.Fatalf("Write: %d bytes, %v", size, err)
			}
			if _, err := socket.Receive(far, drained); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("Write allocates %v times", got)
		}
	})
}

// rawOf is a descriptor of the far end's, for tests that want nothing between.
func rawOf(f *far) int {
	fd, err := socket.Duplicate(f.valve.Conn.(stream))
	must(err)
	return fd
}

func sendAll(t *testing.T, fd int, b []byte) {
	if n, err := socket.Send(fd, b, false); n != len(b) || err != nil {
		t.Fatalf("far end sends %d of %d bytes, %v", n, len(b), err)
	}
}

const (
	// idleLimit is what a connection may cost that is open and idle, crypto/tls included.
	idleLimit = 10 << 10
	// bulkLimit is the same for one that has had records of the full size: crypto/tls
	// keeps a buffer that has room for one, and may have doubled it for that.
	bulkLimit = idleLimit + 32<<10
)

func TestIdleConnectionIsSmall(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		for name, c := range map[string]struct{ message, limit int }{
			"after a small message": {64, idleLimit},
			"after a large message": {200 << 10, bulkLimit},
		} {
			size := idleSize(t, w, 50, c.message)
			t.Logf("%s: %d bytes", name, size)
			if size > c.limit {
				t.Errorf("%s an idle connection costs %d bytes, more than %d", name, size, c.limit)
			}
		}
	})
}

// idleSize returns what each of a number of idle connections costs that have
// received a message of that size.
func idleSize(t testing.TB, w way, count, message int) int {
	i := &idlers{t: t, way: w, server: w.server(), dialer: w.dialer(), buf: make([]byte, readRoom), message: pattern(message)}
	defer i.close()
	i.conns, i.fars = make([]*Conn, 0, count+1), make([]int, 0, count+1)
	i.open() // what is allocated once
	before := heap()
	for range count {
		i.open()
	}
	return int(heap()-before) / count
}

// idlers are connections on one loop, of one proxy. Of the far ends there are
// only the descriptors.
type idlers struct {
	t              testing.TB
	way            way
	server, dialer *tls.Config
	scratch        Scratch
	buf, message   []byte
	conns          []*Conn
	fars           []int
}

func (i *idlers) open() {
	fd, conn := socketpair(i.t)
	defer conn.Close()
	f := newFar(i.t, i.way, conn, nil)
	c := Server(fd, nil, i.server)
	if i.way.client {
		c = Client(fd, i.dialer)
	}
	i.conns, i.fars = append(i.conns, c), append(i.fars, rawOf(f))
	secured(i.t, c, f)
	c.Adopt(&i.scratch)
	n := &near{Conn: c, t: i.t, buf: i.buf}
	n.wantsNow("nothing came with the handshake", nil)
	sent := make(chan error, 1)
	go func() {
		_, err := f.Write(i.message)
		sent <- err
	}()
	n.wants("a message", i.message)
	must(<-sent)
	n.sends(i.message[:min(len(i.message), 64)])
}

func (i *idlers) close() {
	for _, c := range i.conns {
		must(c.Close())
	}
	for _, fd := range i.fars {
		must(socket.Close(fd))
	}
}

// heap returns what is reachable. Twice, since pools give up what they hold
// only when two collections have passed.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkEcho sends a message there and back; half of the work is the far end's.
func BenchmarkEcho(b *testing.B) {
	for name, size := range map[string]int{"64B": 64, "16KiB": 16 << 10, "63KiB": readRoom} {
		b.Run(name, func(b *testing.B) {
			n, f := connect(b, serverTLS13)
			must(unix.SetsockoptInt(n.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20))
			message := pattern(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f.sends(message)
				n.wants("the message", message)
				n.sends(message)
				f.wants("the echo", message)
			}
		})
	}
}
