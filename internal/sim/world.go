package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
	"holdfast/internal/sim/kernel"
	"holdfast/metrics"
	"holdfast/proxy"
)

// A World is one run of a plan: the production loops over an invented kernel, the peers at
// both ends, and the time. Nothing in it depends on anything but the plan.
type World struct {
	plan    *Plan
	now     time.Duration
	machine *kernel.Machine
	door    *kernel.Listener
	pollers []*kernel.Poller
	proxy   *proxy.Hermetic
	metrics *metrics.Metrics

	network, faults, schedule, choices *rand.Rand

	sites    []*site
	talks    []*talk
	running  []loopState
	ended    []*proxy.Ended
	drain    draining
	stopping bool // the drain refuses clients and ends sessions
	calm     bool // the liveness phase: no more faults

	room      *room
	seen      map[string]int // coverage
	state     []int          // the same for what proxy.States lists
	story     story
	turns     int
	reads     reads
	panicking panicking
	job       *job          // that runs now
	jobs      map[*job]bool // all that have not ended
	inLater   bool          // such a job runs that comes after some time, and is no coroutine
	unbegun   int           // jobs that have not begun: one may have the two connections of a relay
	pages     pages
	served    int           // connections that went to pages
	rejoined  int           // those of them that came back
	besides   int           // connections that have left their loops
	accepted  int           // connections
	apps      [2]appCounts  // by side
	turning   int           // the loop that has its turn
	checks    int           // of targets, under way
	limbo     int           // connections that nobody waits for, and whose TLS handshake goes on
	stoppedTo time.Duration // the process is stopped until then
	wrong     []error
}

// loopState is when a loop runs next.
type loopState struct {
	wakes time.Duration // it has something to do, and will run then; never if nothing
}

// epoch is the time at which every world begins.
const epoch = time.Hour

const never = time.Duration(1<<63 - 1)

// ofTheProcess are collectors that tell of the process that runs the simulation. Each
// would read files of /proc for each world.
var ofTheProcess = []prometheus.Collector{
	collectors.NewGoCollector(),
	collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
}

// clients is how many clients the proxy has room for.
const clients = 64

// lobby is how many refused clients it can wait for.
const lobby = 8

func (w *World) clients() int64 {
	if few := w.plan.Knobs.Clients; few > 0 {
		return few
	}
	return clients
}

// newWorld makes a world for a plan.
func newWorld(p *Plan, story story) *World {
	w := &World{
		plan:     p,
		now:      epoch,
		network:  stream(p.Seed, 11),
		faults:   stream(p.Seed, 12),
		schedule: stream(p.Seed, 13),
		choices:  stream(p.Seed, 14),
		room:     rooms.Get().(*room),
		seen:     map[string]int{},
		jobs:     map[*job]bool{},
		state:    make([]int, states),
		story:    story,
		sites:    p.sites(),
		drain:    newDraining(),
	}
	w.machine = kernel.New(func() time.Duration { return w.now })
	if story.hash != nil || story.calls {
		w.machine.Trace = w.tells
	}
	w.machine.Dial = w.dialled
	w.machine.TLS = w.seals
	w.machine.Detach = func(s *kernel.Socket) (net.Conn, error) { return w.detaches(s, s) }
	w.machine.Misused = func(call string, s *kernel.Socket) { w.fails("%s on a closed connection, %v", call, s) }
	w.machine.Faults = kernel.Faults{Read: w.partlyRead, Write: w.partly, Control: w.mayRefuse, Accept: w.mayNotAccept}
	if p.Faults.Panic > 0 {
		w.machine.Faults.Panic = w.mayPanic
	}
	w.machine.SendBuffer, w.machine.ReceiveBuffer = p.Knobs.Buffer, p.Knobs.Inbox
	w.machine.UserTimeout = time.Minute
	w.machine.RetryLimit = 5 * time.Second
	w.pages.w = w
	w.door = w.machine.Listen(kernel.TCP, 128)
	var kernels []proxy.Kernel
	for range p.Knobs.Loops {
		poller := w.machine.NewPoller()
		if p.Knobs.Batch > 0 {
			poller.Batch = p.Knobs.Batch
		}
		w.pollers = append(w.pollers, poller)
		kernels = append(kernels, &ghosts{Poller: poller, w: w, now: map[uint32][]proxy.Token{}})
		w.running = append(w.running, loopState{wakes: w.now})
	}
	w.metrics = metrics.New("sim")
	for _, real := range ofTheProcess {
		w.metrics.Registry().Unregister(real)
	}
	around := proxy.HermeticWorld{
		Now:     func() heartbeat.Time { return heartbeat.Time(w.now) },
		Beside:  w.beside,
		Pages:   &w.pages,
		Attach:  w.attaches,
		Find:    w.finds,
		Choice:  w.choices.Uint64,
		Places:  p.Knobs.Places,
		Random:  rand.NewChaCha8([32]byte{byte(p.Seed), byte(p.Seed >> 8), byte(p.Seed >> 16), byte(p.Seed >> 24)}),
		Kernels: kernels,
		Listen:  w.door.FD(),
		Close:   w.door.Close,
		Clients: w.clients(),
		Lobby:   cmp.Or(p.Knobs.Lobby, lobby),
		Tells:   w.tellsLoop,
	}
	if p.isPool() {
		around.Probe, around.After = w.probes, w.later
	}
	var err error
	if w.proxy, err = proxy.NewHermetic(w.config(), around); err != nil {
		panic(err) // the configuration is ours
	}
	w.plansTroubles()
	for i := range p.Sessions {
		w.talks = append(w.talks, newTalk(w, i))
	}
	return w
}

func (w *World) config() proxy.Config {
	k := &w.plan.Knobs
	client := heartbeat.Rules{Interval: k.Interval, Timeout: k.Timeout, Jitter: 0.1}
	if k.PongOnly {
		client.Liveness = heartbeat.OnlyPong
	}
	service := client
	switch k.UpstreamPong {
	case "auto":
		service.Pong = heartbeat.LearnPong
	case "ignore":
		service.Pong = heartbeat.IgnorePong
	}
	c := proxy.Config{
		Balance:                  balance(k.Balance),
		SlowStart:                k.SlowStart,
		HealthInterval:           k.Checks,
		Client:                   client,
		UpstreamSide:             service,
		HandshakeTimeout:         k.HandshakeTimeout,
		UpstreamHandshakeTimeout: k.HandshakeTimeout,
		DialTimeout:              dialTimeout,
		WriteTimeout:             k.Write,
		CloseTimeout:             k.Close,
		IdleTimeout:              k.Idle,
		MaxSessionDuration:       k.Oldest,
		TCPUserTimeout:           time.Minute,
		MaxFrameSize:             k.MaxFrame,
		MaxMessageSize:           k.MaxMessage,
		ClientPace:               k.pace(),
		ClientApp:                k.ClientApp.config(),
		UpstreamApp:              k.ServiceApp.config(),
		MaxHeaderSize:            4096,
		MaxSessions:              k.Sessions,
		MaxSessionsPerIP:         k.PerIP,
		RefuseHTTP:               !k.Pages,
		CloseCodes:               proxy.CloseCodes{Timeout: 1011, UpstreamLost: 1012, Drain: 1012},
		Log:                      slog.New(complaints{w}),
		Metrics:                  w.metrics,
		Ended:                    w.sessionEnded,
	}
	for _, s := range w.sites {
		c.Upstreams = append(c.Upstreams, s.upstream())
	}
	if k.ClientTLS {
		c.TLS = &tls.Config{}
	}
	if k.Preface {
		c.ProxyProtocol = true
		c.TrustedProxies = []netip.Prefix{balancer}
	}
	if k.Forward {
		c.PeerPings = proxy.ForwardPings
	}
	return c
}

// fails notes that a promise was broken.
func (w *World) fails(format string, args ...any) {
	err := fmt.Errorf("at %v: %s", w.now-epoch, fmt.Sprintf(format, args...))
	w.wrong = append(w.wrong, err)
	w.tells("BROKEN: "+format, args...)
}

func (w *World) see(what string) { w.seen[what]++ }

// chance reports whether something happens that does so in a share of all chances.
func (w *World) chance(share float64, what string) bool {
	if w.calm || share == 0 || w.faults.Float64() >= share {
		return false
	}
	w.see("fault " + what)
	if what != "again" && what != "short" {
		w.tells("fault: %s", what)
	}
	return true
}

func (w *World) partly(_ *kernel.Socket, size int) int {
	switch {
	case w.job != nil: // nothing but readiness would let it go on
		return size
	case w.chance(w.plan.Faults.Again, "again"):
		return 0
	case size > 1 && w.chance(w.plan.Faults.Short, "short"):
		return 1 + w.faults.IntN(size-1)
	}
	return size
}

func (w *World) mayRefuse(int) error {
	if w.chance(w.plan.Faults.Poller, "poller") {
		return unix.ENOMEM
	}
	return nil
}

func (w *World) mayNotAccept() error {
	if w.chance(w.plan.Faults.Accept, "accept") {
		return oneOf[error](w.faults, unix.EMFILE, unix.ENFILE, unix.ECONNABORTED, unix.ENOBUFS)
	}
	return nil
}

// drains reports whether all loops have begun to drain.
func (w *World) drains() bool {
	for i := range w.running {
		if !w.proxy.Draining(i) {
			return false
		}
	}
	return true
}

func (w *World) latency() time.Duration { return spread(w.network, w.plan.Faults.Slow+1) }

// connects lays the network between the two ends of a connection.
func (w *World) connects(s *kernel.Socket) {
	for _, end := range []*kernel.Socket{s, s.Peer()} {
		end.Out.Latency = w.latency()
		end.Out.Segment = w.segment
		if w.chance(20*w.plan.Faults.Stalls, "stall") {
			w.after(spread(w.network, 40*time.Second), func() {
				end.Out.Stalled = w.now + spread(w.network, 2*time.Second)
				w.tells("nothing of connection %d arrives until %v", s.Number(), end.Out.Stalled-epoch)
			})
		}
	}
}

// segment is how many bytes go into the next segment of any connection.
func (w *World) segment() int {
	switch w.network.IntN(4) {
	case 0:
		return 1 + w.network.IntN(20)
	case 1:
		return 1 + w.network.IntN(3000)
	}
	return 64 << 10
}

// after lets something happen later.
func (w *World) after(d time.Duration, do func()) { w.machine.After(d, do) }

// runUntil lets time pass until a moment, or until nothing can happen any more.
func (w *World) runUntil(end time.Duration) {
	for {
		w.endsDrain()
		w.wakeLoops()
		at := w.next()
		if at > end || len(w.wrong) > 0 {
			w.now = max(w.now, min(end, at))
			return
		}
		w.now = max(w.now, at)
		w.machine.Run()
		w.wakeLoops()
		for i := range w.running {
			l := &w.running[i]
			if l.wakes <= w.now && w.stoppedTo > w.now {
				l.wakes = w.stoppedTo
			}
			if l.wakes <= w.now {
				w.turn(i)
			}
		}
	}
}

// next is when anything happens next.
func (w *World) next() time.Duration {
	at := never
	if t, ok := w.machine.Next(); ok {
		at = min(at, t)
	}
	for _, l := range w.running {
		at = min(at, l.wakes)
	}
	return at
}

// wakeLoops schedules the loops that have something to do.
func (w *World) wakeLoops() {
	for i := range w.running {
		l := &w.running[i]
		if l.wakes <= w.now {
			continue
		}
		if w.pollers[i].Pending() || w.proxy.Called(i) {
			l.wakes = min(l.wakes, w.now+w.delay())
			continue
		}
		if alarm := w.proxy.Next(i); alarm != heartbeat.Never && time.Duration(alarm) < l.wakes {
			l.wakes = max(w.now, time.Duration(alarm)) + w.delay()
		}
	}
}

// delay is how long it takes until a loop runs that has something to do. Now and then the
// whole process is stopped for a while.
func (w *World) delay() time.Duration {
	if w.stoppedTo+betweenStops <= w.now && w.chance(w.plan.Faults.Stopped, "stopped") {
		w.stoppedTo = w.now + spread(w.schedule, oneOf(w.schedule, 5*time.Second, 40*time.Second))
		w.tells("the process is stopped until %v", w.stoppedTo-epoch)
	}
	return max(0, w.stoppedTo-w.now) + spread(w.schedule, 200*time.Microsecond)
}

// betweenStops is how long the process runs at least between two stops. Without that the
// TCP of a peer may give up.
const betweenStops = 10 * time.Second

// turnLimit bounds the turns of a run: a loop that has always something to do spins.
const turnLimit = 200_000

func (w *World) turn(i int) {
	w.running[i].wakes = never
	w.turns++
	if w.turns > turnLimit {
		w.fails("a loop spins")
		return
	}
	w.reads = reads{}
	w.turning = i
	w.panicking.begins()
	w.proxy.Turn(i)
	w.panicking.ends()
	if err := w.proxy.Broken(i); err != nil {
		w.fails("%v", err)
	}
	w.audits()
	w.refusesFrom()
	if w.plan.Knobs.isPaced() {
		for _, t := range w.talks {
			t.wantsPace()
		}
	}
}

// audits checks after every turn that all counts agree with what the loops hold.
func (w *World) audits() {
	descriptors, err := w.proxy.Audit(func(state int) { w.state[state]++ })
	if err != nil {
		w.fails("%v", err)
	}
	for i := range w.running {
		if w.proxy.Called(i) {
			return // a connection is on its way to another loop
		}
	}
	w.wantsKept()
	descriptors += w.limbo + w.besides
	if w.door.FD() >= 0 {
		descriptors++
	}
	if open := w.machine.Open(); open < descriptors || open > descriptors+2*w.unbegun {
		w.fails("%d descriptors are open, and %d belong to anybody", open, descriptors)
	}
}

// reads are how often the proxy has read one connection in a row.
type reads struct {
	of  *kernel.Socket
	row int
}

// readsInARow is how often one connection may be read before others have their turn.
const readsInARow = 4

func (w *World) partlyRead(s *kernel.Socket, size int) int {
	if w.job != nil { // it is the only one that reads this connection
		return size
	}
	if w.reads.of != s {
		w.reads = reads{of: s}
	}
	if w.reads.row++; w.reads.row > readsInARow {
		w.fails("%v is read again and again, and others wait", s)
	}
	return w.partly(s, size)
}

// jobTime is how long a job beside the loops takes: it may be longer than anybody waits.
func (w *World) jobTime() time.Duration {
	return spread(w.schedule, oneOf(w.schedule, time.Millisecond, time.Second, 15*time.Second))
}

// balancer is where the clients' connections come from if they have PROXY headers.
var balancer = netip.MustParsePrefix("198.51.100.0/24")

// address is that of a client. Two of the clients share one.
func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i/2)}), uint16(firstPort+i))
}

// firstPort is that of the first client.
const firstPort = 10_000
