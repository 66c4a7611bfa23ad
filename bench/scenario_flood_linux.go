package main

import (
	"errors"
	"fmt"
	"time"
)

const (
	floodEchoes = 8        // other sessions, each with one message under way
	floodSize   = 64       // bytes of their messages
	floodBurst  = 64 << 10 // bytes that a flooder sends at once; about one read of a proxy
	floodPause  = 32       // milliseconds between two bursts: 2 MB/s, if the kernel takes them
)

// floodCrowds are the numbers of flooders.
var floodCrowds = []int{1, 60}

// A flood says what each of its sessions sends without end. The backend discards it, so
// that its own work does not delay the other sessions.
type flood struct {
	name  string
	title string
	first []byte // sent once
	frame []byte // sent again and again; if nil, the session is closed and the next one opened
}

func floods() []flood {
	empty := appendFrame(nil, opBinary, &loadMask, nil)
	part := appendFrame(nil, opBinary, &loadMask, []byte("f"))
	part[0] &^= finBit
	more := append([]byte{0}, part[1:]...) // a continuation, RFC 6455 section 5.4
	return []flood{
		{name: "pings", title: "empty pings", frame: appendFrame(nil, opPing, &loadMask, nil)},
		{name: "empty", title: "empty messages", frame: empty},
		{name: "fragments", title: "one-byte fragments", first: part, frame: more},
		{name: "reopen", title: "closing and opening again"},
	}
}

var floodScenario = scenario{
	name:    "flood",
	about:   "some echoes beside sessions that send frames with nothing in them",
	figures: floodFigures,
	run:     runFlood,
}

func floodFigures(params) []figure {
	figures := floodFiguresOf("none", "without a flood")
	for _, f := range floods() {
		for _, crowd := range floodCrowds {
			figures = append(figures, floodFiguresOf(floodKey(f, crowd), fmt.Sprintf("beside %d × %s", crowd, f.title))...)
		}
	}
	return figures
}

// floodFiguresOf returns figures that are not compared: most proxies only copy the bytes
// that Holdfast has to parse.
func floodFiguresOf(key, beside string) []figure {
	what := fmt.Sprintf("%s on %s, %s", sizeName(floodSize), connections(floodEchoes), beside)
	return []figure{
		{Key: key + "-p50", Title: "round trip p50, " + what, Unit: "µs", WallClock: true, NoRatio: true},
		{Key: key + "-p99", Title: "round trip p99, " + what, Unit: "µs", WallClock: true, NoRatio: true},
	}
}

func floodKey(f flood, crowd int) string { return fmt.Sprintf("%s-%d", f.name, crowd) }

func runFlood(c *client, p params) (map[string]float64, error) {
	values := make(map[string]float64)
	all, err := openEchoes(c, floodEchoes, floodSize)
	if err != nil {
		return nil, err
	}
	measure := func(key string) error {
		trips, err := all.withLate(c, p)
		values[key+"-p50"] = float64(percentile(trips, 0.50)) / microsecond
		values[key+"-p99"] = float64(percentile(trips, 0.99)) / microsecond
		return err
	}
	if err := measure("none"); err != nil {
		return nil, err
	}
	for _, f := range floods() {
		for _, crowd := range floodCrowds {
			key := floodKey(f, crowd)
			if err := beside(c, f, crowd, func() error { return measure(key) }); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return values, all.close(c)
}

// withLate runs a closed loop of echoes for a time. Answers that arrive later count too:
// under a flood there may be no others.
func (all *echoes) withLate(c *client, p params) ([]time.Duration, error) {
	if err := all.start(); err != nil {
		return nil, err
	}
	if err := c.runFor(p.Warmup); err != nil {
		return nil, err
	}
	all.latencies = all.latencies[:0]
	if err := c.runFor(p.Measure); err != nil {
		return nil, err
	}
	err := all.stop(c)
	return all.latencies, err
}

// beside calls run while a crowd floods the proxy. The crowd has its own loop and its own
// thread, so that it does not delay the measurement of the other sessions.
func beside(c *client, f flood, crowd int, run func() error) error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	defer l.close()
	flooders := &flooders{flood: f, client: &client{loop: l, proxy: c.proxy, backend: c.backend}}
	if err := flooders.open(crowd); err != nil {
		return err
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- flooders.runUntil(stop) }()
	err = run()
	close(stop)
	return errors.Join(err, <-stopped)
}

// flooders are the sessions of a flood, with their own client.
type flooders struct {
	flood
	client   *client
	sessions []*session
	ending   bool
}

// open opens the crowd's first sessions.
func (f *flooders) open(crowd int) error {
	if f.frame != nil {
		return f.client.openSessions(crowd, pathVoid, func() role { return kept{in: &f.sessions} })
	}
	for range crowd {
		if err := f.reopen(); err != nil {
			return err
		}
	}
	return nil
}

// reopen opens a session that closes at once. When it has closed, reopen opens the next.
func (f *flooders) reopen() error {
	return f.client.dial(f.client.proxy, pathEcho, visit{done: func() {
		if f.ending {
			return
		}
		if err := f.reopen(); err != nil {
			f.client.fail(err)
		}
	}})
}

// runUntil floods with one session after another until stop. Then it ends the crowd's
// connections.
func (f *flooders) runUntil(stop <-chan struct{}) error {
	if err := f.begin(); err != nil {
		return err
	}
	burst := f.burst()
	start := time.Now()
	for tick := 0; ; tick++ {
		select {
		case <-stop:
			return f.end()
		default:
		}
		for i := tick % floodPause; i < len(f.sessions); i += floodPause {
			s := f.sessions[i]
			if len(s.conn.out) > 0 {
				continue // the kernel has not taken the last burst yet
			}
			if err := s.send(burst); err != nil {
				return err
			}
		}
		due := start.Add(time.Duration(tick) * time.Millisecond)
		if err := f.serveUntil(due); err != nil {
			return err
		}
	}
}

// begin sends the bytes that come before the flood.
func (f *flooders) begin() error {
	for _, s := range f.sessions {
		if err := s.send(f.first); err != nil {
			return err
		}
	}
	return nil
}

// burst returns the bytes that a session sends at once.
func (f *flooders) burst() (frames []byte) {
	for f.frame != nil && len(frames) < floodBurst {
		frames = append(frames, f.frame...)
	}
	return frames
}

// serveUntil serves events until due, at least once. It polls during the last
// millisecond, because epoll_wait cannot wait for a part of one.
func (f *flooders) serveUntil(due time.Time) error {
	for {
		if err := f.client.loop.turn(max(0, time.Until(due))); err != nil {
			return err
		}
		if !time.Now().Before(due) {
			return f.client.failure()
		}
	}
}

// end ends the crowd's connections. It cuts sessions that flood, because their Close would
// wait behind the flood. It waits for sessions that are closing already.
func (f *flooders) end() error {
	f.ending = true
	for _, s := range f.sessions {
		s.conn.close()
	}
	return f.client.runUntil(answerLimit, func() bool { return f.client.dialing+f.client.closing == 0 })
}
