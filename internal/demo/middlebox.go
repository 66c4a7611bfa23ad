package demo

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// middlebox behaves like a NAT, a firewall or a load balancer on the path. It forwards TCP,
// and forgets a connection on which nothing has moved for limit, or which cut names. From
// then on it forwards nothing and tells neither end: to both ends the connection looks open.
type middlebox struct {
	limit   time.Duration
	onCut   func(client net.Addr) // a connection was silent for limit; called from any goroutine
	running sync.WaitGroup

	mu        sync.Mutex
	closing   bool
	listeners []net.Listener
	flows     map[*flow]struct{}
}

func newMiddlebox(limit time.Duration, onCut func(client net.Addr)) *middlebox {
	return &middlebox{limit: limit, onCut: onCut, flows: map[*flow]struct{}{}}
}

// route starts to forward connections to target. It returns the address for clients.
func (m *middlebox) route(target string) (address string, err error) {
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	m.listeners = append(m.listeners, listener)
	m.mu.Unlock()
	m.running.Go(func() { m.serve(listener, target) })
	return listener.Addr().String(), nil
}

func (m *middlebox) serve(listener net.Listener, target string) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return // closed
		}
		m.running.Go(func() { m.forward(near, target) })
	}
}

// forward forwards one connection until its end. A connection that was cut stays open
// until the middlebox closes, because both ends would notice if it was closed.
func (m *middlebox) forward(near net.Conn, target string) {
	far, err := net.Dial("tcp", target)
	if err != nil {
		near.Close()
		return
	}
	f := &flow{
		near:  near.(*net.TCPConn),
		far:   far.(*net.TCPConn),
		limit: m.limit,
		over:  make(chan struct{}),
		moved: time.Now(),
	}
	if !m.enter(f) {
		f.close()
		return
	}
	m.running.Go(func() { m.watch(f) })

	var up sync.WaitGroup
	up.Go(func() { f.pump(f.far, f.near) })
	f.pump(f.near, f.far)
	up.Wait()
	if f.finish() {
		m.leave(f)
		f.close()
	}
}

// watch cuts the flow once nothing has moved for limit.
func (m *middlebox) watch(f *flow) {
	for {
		left, isLost := f.expire()
		if isLost {
			m.onCut(f.near.RemoteAddr())
			return
		}
		select {
		case <-time.After(left):
		case <-f.over:
			return
		}
	}
}

// cut cuts the connection with an end at address, even if it is not silent, as a restart
// would. The end is the client's, or the middlebox's own towards the target. It returns false
// if no such connection is forwarded.
func (m *middlebox) cut(address net.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f := range m.flows {
		client, ours := f.near.RemoteAddr().String(), f.far.LocalAddr().String()
		if address.String() == client || address.String() == ours {
			return f.lose()
		}
	}
	return false
}

func (m *middlebox) enter(f *flow) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return false
	}
	m.flows[f] = struct{}{}
	return true
}

func (m *middlebox) leave(f *flow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.flows, f)
}

func (m *middlebox) close() {
	m.mu.Lock()
	m.closing = true
	for _, listener := range m.listeners {
		listener.Close()
	}
	for f := range m.flows {
		f.finish()
		f.close()
	}
	m.mu.Unlock()
	m.running.Wait()
}

// flow is one connection through the middlebox.
type flow struct {
	near, far *net.TCPConn // to the client, to the target
	limit     time.Duration
	over      chan struct{} // closed when state becomes finished, or cut has made it lost

	mu    sync.Mutex
	moved time.Time // when bytes were last forwarded
	state flowState
}

type flowState uint8

const (
	flowing  flowState = iota // → lost, finished
	lost                      // cut: all bytes are discarded
	finished                  // both ends know that it has ended, or the middlebox closes
)

// pump forwards one direction until its end, and forwards the end too. After the cut it
// discards everything, the end of TCP included.
func (f *flow) pump(to, from *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if !f.touch(n) {
			if err != nil {
				return
			}
			continue
		}
		if n > 0 {
			if _, writeErr := to.Write(buf[:n]); writeErr != nil {
				err = writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite() // it fails only if to has ended, which the pump of to sees
			return
		}
		if err != nil {
			f.close()
			return
		}
	}
}

// touch records that n bytes arrived. It reports whether they must be forwarded.
func (f *flow) touch(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == flowing && n > 0 {
		f.moved = time.Now()
	}
	return f.state == flowing
}

// expire returns how long the flow may still be silent. If that time is over, the flow
// becomes lost and isLost is true.
func (f *flow) expire() (left time.Duration, isLost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left = f.limit - time.Since(f.moved)
	if left > 0 || f.state != flowing {
		return left, false
	}
	f.state = lost
	return 0, true
}

// lose makes a flow lost that is forwarded. It returns false for any other.
func (f *flow) lose() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != flowing {
		return false
	}
	f.state = lost
	close(f.over)
	return true
}

// finish marks the flow as finished unless it is lost. It reports whether it is finished.
func (f *flow) finish() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == flowing {
		f.state = finished
		close(f.over)
	}
	return f.state == finished
}

func (f *flow) close() {
	f.near.Close()
	f.far.Close()
}
