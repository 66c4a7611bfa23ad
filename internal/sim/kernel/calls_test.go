package kernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// The ready lists of the model and of Linux give the same events in the same order, in
// batches of any size. The sockets are unix ones, whose wake-ups come at once.
func TestReadyListLikeLinux(t *testing.T) {
	const pairs = 5
	random := rand.New(rand.NewPCG(2, 0))
	for range 200 {
		m := New(func() time.Duration { return 0 })
		p := m.NewPoller()
		wait, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		must(t, err)
		var model []*Socket
		var real []int
		for range pairs {
			a, b := m.Pair(Unix)
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			model, real = append(model, a, b), append(real, fds[:]...)
		}
		script := ""
		for i := range model {
			want := proxy.Readable | proxy.PeerEnded
			must(t, p.Add(model[i].FD(), proxy.Token(i), want))
			must(t, unix.EpollCtl(wait, unix.EPOLL_CTL_ADD, real[i], &unix.EpollEvent{Events: uint32(want), Fd: int32(i)}))
		}
		for range 60 {
			i, b := random.IntN(len(model)), make([]byte, 64)
			switch random.IntN(8) {
			case 0, 1:
				script += fmt.Sprintf("\n\twrite to %d", i)
				_, _ = model[i].Write(b) // results are another test's
				_, _ = unix.SendmsgN(real[i], b, nil, nil, unix.MSG_NOSIGNAL)
			case 2:
				script += fmt.Sprintf("\n\tread from %d", i)
				_, _ = model[i].Read(b, len(b))
				_, _ = unix.Read(real[i], b)
			case 3:
				want := []proxy.Ready{proxy.Readable, proxy.Writable, 0}[random.IntN(3)]
				script += fmt.Sprintf("\n\tmodify %d to %#x", i, want)
				must(t, p.Modify(model[i].FD(), proxy.Token(i), want))
				must(t, unix.EpollCtl(wait, unix.EPOLL_CTL_MOD, real[i], &unix.EpollEvent{Events: uint32(want), Fd: int32(i)}))
			default:
				p.Batch = 1 + random.IntN(4)
				script += fmt.Sprintf("\n\tpoll for %d", p.Batch)
				polled, _ := p.Poll()
				events := make([]unix.EpollEvent, p.Batch)
				n, err := unix.EpollWait(wait, events, 0)
				must(t, err)
				if got, want := fmt.Sprint(polled), asPolled(events[:n]); got != want {
					t.Fatalf("the model says %s, and Linux %s, after%s", got, want, script)
				}
			}
		}
		for _, fd := range append(real, wait) {
			unix.Close(fd)
		}
	}
}

func asPolled(events []unix.EpollEvent) string {
	var polled []proxy.Event
	for _, e := range events {
		polled = append(polled, proxy.Event{Token: proxy.Token(e.Fd), Ready: proxy.Ready(e.Events)})
	}
	return fmt.Sprint(polled)
}

// A connect that is not answered, one that is given up before, and one that is refused
// look as they do in Linux. There the answer comes when TCP asks the second time, after
// a second. So all connects begin before the first answer is awaited.
func TestConnectLikeLinux(t *testing.T) {
	t.Parallel() // it waits
	t.Run("given up", func(t *testing.T) {
		c := newUnanswered(t)
		c.closeWrite()
		c.read()
		c.read()
		c.write()
	})
	refused := []struct {
		name  string
		calls func(c *connecting)
		*connecting
	}{
		{name: "write first", calls: func(c *connecting) { c.refuse(); c.write(); c.read(); c.failure(); c.write() }},
		{name: "read first", calls: func(c *connecting) { c.refuse(); c.read(); c.write(); c.read(); c.failure() }},
		{name: "ask first", calls: func(c *connecting) { c.refuse(); c.failure(); c.failure(); c.read(); c.closeWrite() }},
	}
	for i := range refused {
		refused[i].connecting = newUnanswered(t)
		refused[i].stopListening()
	}
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			test.t = t
			test.calls(test.connecting)
		})
	}
}

// What a client does before it is accepted shows afterwards as it does in Linux, and a
// listener's end shows to those who wait.
func TestLineLikeLinux(t *testing.T) {
	for _, kind := range []Kind{TCP, Unix} {
		for _, deeds := range []string{"", "w", "s", "c", "r", "ws", "wc", "wr", "l", "wl", "sl"} {
			st := newStage(t)
			p := st.NewPoller()
			l := st.Listen(kind, 4)
			model, err := l.Dial(netip.AddrPort{})
			must(t, err)
			listener := tcpListener(t)
			if kind == Unix {
				unix.Close(listener)
				listener, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				must(t, err)
				must(t, unix.Bind(listener, &unix.SockaddrUnix{Name: "@"})) // the kernel finds a name
				must(t, unix.Listen(listener, 4))
			}
			name, err := unix.Getsockname(listener)
			must(t, err)
			domain := map[Kind]int{TCP: unix.AF_INET, Unix: unix.AF_UNIX}[kind]
			real, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			must(t, unix.Connect(real, name))
			accepts := true
			for _, deed := range deeds {
				switch deed {
				case 'w':
					st.writes(model, "hello")
					_, err = unix.Write(real, []byte("hello"))
				case 's':
					must(t, model.CloseWrite())
					err = unix.Shutdown(real, unix.SHUT_WR)
				case 'r':
					must(t, unix.SetsockoptLinger(real, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
					must(t, model.Reset())
					err = unix.Close(real)
				case 'c':
					must(t, model.Close())
					err = unix.Close(real)
				case 'l':
					accepts = false
					l.Close()
					err = unix.Close(listener)
				}
				must(t, err)
			}
			if accepts {
				if !model.Closed() {
					defer unix.Close(real)
				}
				conn, _, err := p.Accept(l.FD(), false)
				must(t, err)
				model = conn.(*Socket)
				real, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
				must(t, err)
				unix.Close(listener)
			}
			must(t, unix.SetNonblock(real, true))
			c := &connecting{t: t, m: st.Machine, model: model, real: real}
			c.same(deeds, "", "")
			for range 3 {
				c.read()
			}
			c.write()
			unix.Close(real)
			if t.Failed() {
				t.Fatalf("kind %d, after %q", kind, deeds)
			}
		}
	}
}

// connecting is a connect whose answer is awaited, in the model and in Linux.
type connecting struct {
	t        *testing.T
	m        *Machine
	now      time.Duration
	model    *Socket
	listener int
	real     int
}

// newUnanswered begins a connect, and looks at it before an answer can come.
func newUnanswered(t *testing.T) *connecting {
	c := newConnecting(t)
	c.write()
	c.read()
	c.failure()
	return c
}

func newConnecting(t *testing.T) *connecting {
	c := &connecting{t: t, real: -1}
	c.m = New(func() time.Duration { return c.now })
	c.m.Dial = func(proxy.Endpoint) Outcome { return Outcome{After: time.Second, Fails: unix.ECONNREFUSED} }
	conn, err := c.m.NewPoller().Connect(proxy.Endpoint{})
	must(t, err)
	c.model = conn.(*Socket)

	c.listener = tcpListener(t)
	t.Cleanup(func() {
		if c.listener >= 0 {
			unix.Close(c.listener)
		}
	})
	must(t, unix.Listen(c.listener, 0))
	name, err := unix.Getsockname(c.listener)
	must(t, err)
	for { // until the listener's line is full, and an answer stays out
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Connect(fd, name); err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		if readiness(fd) == 0 {
			c.real = fd
			break
		}
	}
	c.same("connect", "", "")
	return c
}

// readiness is all that poll says of a socket.
func readiness(fd int) uint32 {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP}}
	_, _ = unix.Poll(polled, 0) // without an answer nothing is ready
	return uint32(polled[0].Revents)
}

func (c *connecting) same(call, model, real string) {
	c.t.Helper()
	now := uint32(c.model.Ready())
	for tries := 0; readiness(c.real) != now && tries < patience; tries++ { // it may be under way
	}
	model += " " + conditions(now)
	real += " " + conditions(readiness(c.real))
	if model != real {
		c.t.Errorf("%s: the model says %s, and Linux %s", call, model, real)
	}
}

// stopListening makes Linux refuse the connect when TCP asks again.
func (c *connecting) stopListening() {
	c.t.Helper()
	must(c.t, unix.Close(c.listener))
	c.listener = -1
}

// refuse waits for the refusal.
func (c *connecting) refuse() {
	c.t.Helper()
	polled := []unix.PollFd{{Fd: int32(c.real), Events: unix.POLLIN}}
	if n, err := unix.Poll(polled, 30_000); n != 1 {
		c.t.Fatalf("no answer came: %v", err)
	}
	c.now, _ = c.m.Next()
	c.same("refusal", "", "")
}

func (c *connecting) write() {
	c.t.Helper()
	n, err := c.model.Write([]byte("x"))
	real, realErr := unix.SendmsgN(c.real, []byte("x"), nil, nil, unix.MSG_NOSIGNAL)
	c.same("write", outcome(n, err), outcome(real, realErr))
}

func (c *connecting) read() {
	c.t.Helper()
	b := make([]byte, 5)
	n, err := c.model.Read(b, len(b))
	real, realErr := unix.Read(c.real, b)
	c.same("read", outcome(n, ended(err)), outcome(real, realErr))
}

// ended is how read(2) says the end of a stream.
func ended(err error) error {
	if err != nil && err.Error() == "EOF" {
		return nil
	}
	return err
}

func (c *connecting) failure() {
	c.t.Helper()
	failure, err := unix.GetsockoptInt(c.real, unix.SOL_SOCKET, unix.SO_ERROR)
	must(c.t, err)
	var real error
	if failure != 0 {
		real = os.NewSyscallError("connect", unix.Errno(failure))
	}
	c.same("SO_ERROR", outcome(0, c.model.Connected()), outcome(0, real))
}

func (c *connecting) closeWrite() {
	c.t.Helper()
	c.same("shutdown", outcome(0, c.model.CloseWrite()), outcome(0, unix.Shutdown(c.real, unix.SHUT_WR)))
}
