package kernel

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/leak"
	"holdfast/internal/race"
	"holdfast/proxy"
)

// TestMain wants back whatever the tests took. What fuzzes has goroutines of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(m.Run())
	}
	os.Exit(leak.Check(m.Run))
}

// A twin is a connection of the model beside one of Linux. Both ends of both belong to
// the test, and both ends are in an epoll instance. A script does the same to both.
//
// What is compared after each step: the result of the call, the events of both ends,
// whether TCP has given the connection up, and how many bytes are unread and
// unacknowledged. Linux counts its buffers in memory, the overhead of each segment
// included, and the model in bytes. So how much a full direction holds is not compared,
// but that it is full: a script fills a direction until the call says EAGAIN, and what it
// reads until the direction is empty. In between a direction is writable neither in Linux
// nor in the model, and a read of few bytes does not change that.
type twin struct {
	t     *testing.T
	kind  Kind
	model [2]*Socket
	epoll *Poller
	real  [2]int
	wait  int // the real epoll instance

	open   [2]bool
	full   [2]bool  // what the end writes was filled, and not drained
	wrote  [2]count // by the end
	read   [2]count // of what the end writes
	script []string
}

// A count is of bytes, in the model and in Linux.
type count struct{ model, real int }

func newTwin(t *testing.T, kind Kind, listener int) *twin {
	m := New(func() time.Duration { return 0 })
	tw := &twin{t: t, kind: kind, epoll: m.NewPoller(), open: [2]bool{true, true}}
	tw.model[0], tw.model[1] = m.Pair(kind)
	if kind == Unix {
		var err error
		tw.real, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		must(t, err)
	} else {
		tw.real = realPair(t, listener)
	}
	var err error
	tw.wait, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(t, err)
	for end := range 2 {
		tw.control(end, unix.EPOLL_CTL_ADD, proxy.Readable|proxy.Writable|proxy.PeerEnded)
	}
	tw.compare()
	return tw
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// realBuffer is small, so that it is soon full, and large beside what a script writes otherwise.
const realBuffer = 32 << 10

// tcpListener listens on the loopback interface.
func tcpListener(t testing.TB) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, realBuffer),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, realBuffer),
			unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
			unix.Listen(fd, 16))
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// delackMax is TCP_DELACK_MAX_US: how long an acknowledgement may be put off.
const delackMax = 46

func realPair(t *testing.T, listener int) (ends [2]int) {
	t.Helper()
	name, err := unix.Getsockname(listener)
	must(t, err)
	ends[0], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.SetsockoptInt(ends[0], unix.SOL_SOCKET, unix.SO_RCVBUF, realBuffer))
	must(t, unix.SetsockoptInt(ends[0], unix.SOL_SOCKET, unix.SO_SNDBUF, realBuffer))
	must(t, unix.Connect(ends[0], name))
	ends[1], _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	must(t, err)
	for _, fd := range ends {
		must(t, unix.SetNonblock(fd, true))
		must(t, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, delackMax, 8000) // without it the test takes longer
	}
	return ends
}

// end closes what the script has left open. TCP is reset, so that no port waits.
func (tw *twin) end() {
	for end := range 2 {
		if tw.open[end] {
			tw.reset(end)
		}
	}
	unix.Close(tw.wait)
}

// run does what a script says, two bytes a step.
func (tw *twin) run(script []byte) {
	defer tw.end()
	steps := tcpSteps
	if tw.kind == Unix {
		steps = unixSteps
	}
	for ; len(script) > 1; script = script[2:] {
		end, step := int(script[0]&1), steps[int(script[0]>>1)%len(steps)]
		if !tw.open[end] {
			continue
		}
		tw.script = append(tw.script, fmt.Sprintf("%s of end %d, %d", step.name, end, script[1]))
		tw.flush()
		step.do(tw, end, int(script[1]))
		tw.compare()
		if tw.t.Failed() {
			return
		}
	}
}

// same compares results.
func (tw *twin) same(what, model, real string) {
	tw.t.Helper()
	if model != real {
		tw.t.Errorf("%s: the model says %s, and Linux %s, after\n\t%s", what, model, real, strings.Join(tw.script, "\n\t"))
	}
}

// outcome is a call's result as it is compared.
func outcome(n int, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(n)
}

// flush makes Linux send acknowledgements that it has put off, and those of the next step
// at once.
func (tw *twin) flush() {
	for end := range 2 {
		if tw.kind == TCP && tw.open[end] {
			_ = unix.SetsockoptInt(tw.real[end], unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
		}
	}
}

// patience is how often Linux is asked whether what is on its way has arrived.
const patience = 200_000

// compare waits until what Linux shows is what the model shows.
func (tw *twin) compare() {
	tw.t.Helper()
	want := tw.showModel()
	got := tw.showReal()
	for tries := 0; got != want && tries < patience; tries++ {
		tw.flush()
		tw.refill()
		got = tw.showReal()
	}
	tw.same("then", want, got)
}

// refill fills what is full in the model, where Linux has found room meanwhile.
func (tw *twin) refill() {
	for end := range 2 {
		if s := tw.model[end]; tw.open[end] && tw.full[end] && !s.writable() {
			for tw.writableReal(end) {
				if _, err := tw.writeReal(end, 1<<10); err != nil {
					break
				}
			}
		}
	}
}

// showModel and showReal say all that is compared of both ends.
func (tw *twin) showModel() string {
	events, _ := tw.epoll.Poll()
	var masks [2]uint32
	for _, e := range events {
		masks[e.Token] = uint32(e.Ready)
	}
	return tw.show(func(end int) shown {
		s := tw.model[end]
		return shown{masks[end], uint32(s.Ready()), s.Unread(), s.Unacked(), s.dead}
	})
}

func (tw *twin) showReal() string {
	var events [4]unix.EpollEvent
	n, err := unix.EpollWait(tw.wait, events[:], 0)
	if err != nil && err != unix.EINTR {
		tw.t.Fatal(err)
	}
	var masks [2]uint32
	for _, e := range events[:max(0, n)] {
		masks[e.Fd] = e.Events
	}
	return tw.show(func(end int) shown {
		fd := tw.real[end]
		all := int16(unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP)
		polled := []unix.PollFd{{Fd: int32(fd), Events: all}}
		_, _ = unix.Poll(polled, 0) // without an answer the two differ
		s := shown{events: masks[end], ready: uint32(polled[0].Revents)}
		s.unread, _ = unix.IoctlGetInt(fd, unix.SIOCINQ)
		s.unacked, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		if tw.kind == TCP {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			must(tw.t, err)
			const tcpClose = 7
			s.dead = info.State == tcpClose
			if s.unacked == 1 && tw.model[end].finAck {
				s.unacked = 0 // Linux puts the acknowledgement of an end off
			}
		}
		return s
	})
}

// shown is what is compared of an end.
type shown struct {
	events          uint32 // as epoll says, of what it was asked for
	ready           uint32 // as poll says
	unread, unacked int
	dead            bool // TCP has given the connection up
}

func (tw *twin) show(ask func(end int) shown) string {
	var b strings.Builder
	for end := range 2 {
		if !tw.open[end] {
			continue
		}
		s := ask(end)
		unread, unacked := fmt.Sprint(s.unread), fmt.Sprint(s.unacked)
		if tw.full[1-end] {
			unread = fmt.Sprint(s.unread > 0)
		}
		if tw.full[end] || tw.kind == Unix {
			unacked = fmt.Sprint(s.unacked > 0)
		}
		fmt.Fprintf(&b, "[end %d: epoll %s, poll %s, unread %s, unacknowledged %s, dead %v]",
			end, conditions(s.events), conditions(s.ready), unread, unacked, s.dead)
	}
	return b.String()
}

func conditions(mask uint32) string {
	var names []string
	for _, c := range []struct {
		bit  uint32
		name string
	}{{unix.EPOLLIN, "IN"}, {unix.EPOLLOUT, "OUT"}, {unix.EPOLLRDHUP, "RDHUP"}, {unix.EPOLLHUP, "HUP"}, {unix.EPOLLERR, "ERR"}} {
		if mask&c.bit != 0 {
			names = append(names, c.name)
			mask &^= c.bit
		}
	}
	if mask != 0 {
		names = append(names, fmt.Sprintf("%#x", mask))
	}
	return strings.Join(names, "|")
}

// The model does what Linux does, whatever a script does to a connection. The fuzz target
// below tries more scripts.
func TestLikeLinux(t *testing.T) {
	t.Parallel() // while another waits
	scripts := 500
	if race.Enabled && !testing.Short() {
		scripts = 1500
	}
	listener := tcpListener(t)
	defer unix.Close(listener)
	for kind, name := range map[Kind]string{TCP: "tcp", Unix: "unix"} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(kind)))
			for range scripts {
				script := make([]byte, 2*(1+random.IntN(30)))
				for i := range script {
					script[i] = byte(random.Uint32())
				}
				newTwin(t, kind, listener).run(script)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// A full socket is writable again when a part of its buffer is free, which is about the
// same in the model and in Linux: a third for TCP, and three quarters for unix sockets.
func TestWritableAgainLikeLinux(t *testing.T) {
	listener := tcpListener(t)
	defer unix.Close(listener)
	for kind, want := range map[Kind]int{TCP: 67, Unix: 25} {
		tw := newTwin(t, kind, listener)
		must(t, unix.SetsockoptInt(tw.real[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 256<<10))
		tw.model[0].SetSendBuffer(512 << 10)
		tw.fill(0)
		queued := func() (model, real int) {
			if kind == Unix { // Linux says the memory that is used
				return tw.wrote[0].model - tw.read[0].model, tw.wrote[0].real - tw.read[0].real
			}
			real, _ = unix.IoctlGetInt(tw.real[0], unix.SIOCOUTQ)
			return tw.model[0].Unacked(), real
		}
		model, real := queued()
		b := make([]byte, 1<<10)
		for tw.model[0].Ready()&proxy.Writable == 0 {
			_, _ = tw.readModel(1, b)
		}
		for !tw.writableReal(0) {
			_, _ = tw.readReal(1, b)
		}
		modelLeft, realLeft := queued()
		model, real = 100*modelLeft/model, 100*realLeft/real
		t.Logf("%d%% of the model's buffer and %d%% of Linux's are used", model, real)
		if max(model, real) > want+10 || min(model, real) < want-10 {
			t.Errorf("%d%% of the model's buffer and %d%% of Linux's are used, want %d%%", model, real, want)
		}
		tw.end()
	}
}

func FuzzKernelLikeLinux(f *testing.F) {
	listener := tcpListener(f)
	f.Cleanup(func() { unix.Close(listener) })
	f.Add(true, []byte{0, 9, 28, 0, 9, 1, 30, 0, 1, 1})
	f.Add(false, []byte{0, 9, 32, 0, 9, 1, 9, 1, 9, 1})
	f.Fuzz(func(t *testing.T, tcp bool, script []byte) {
		kind := Unix
		if tcp {
			kind = TCP
		}
		newTwin(t, kind, listener).run(script[:min(len(script), 120)])
	})
}
