package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
)

// A task says what the load process must do. It comes as JSON on standard input.
type task struct {
	Scenario string
	Proxy    netip.AddrPort // the backend's own address if there is no proxy
	Backend  netip.AddrPort
	Metrics  string // URL of the proxy's Prometheus metrics, if it has any
	Root     int    // the proxy's main process, 0 if there is none
	// Certificate is the proxy's, in PEM; empty if clients connect without TLS.
	Certificate []byte
	Params      params
}

// An outcome is the result of the load process, as JSON on its standard output.
type outcome struct {
	Values map[string]float64 // by figure key
	Error  string             // why there are no values
}

// runLoad does one task.
func runLoad() error {
	var t task
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	var result outcome
	values, err := t.run()
	if err != nil {
		result.Error = err.Error()
	} else {
		result.Values = values
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func (t task) run() (map[string]float64, error) {
	s, err := scenarioNamed(t.Scenario)
	if err != nil {
		return nil, err
	}
	m, err := newMeter(t.Root)
	if err != nil {
		return nil, err
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	c := &client{loop: l, meter: m, proxy: t.Proxy, backend: t.Backend, metrics: t.Metrics}
	if len(t.Certificate) > 0 {
		if c.tls, err = loadTLS(t.Certificate); err != nil {
			return nil, err
		}
	}
	values, err := s.run(c, t.Params)
	return values, errors.Join(err, c.failure())
}

const (
	dialWindow  = 64               // handshakes, or closings, under way at a time
	openLimit   = 60 * time.Second // for all sessions of a scenario to open, or to close
	answerLimit = 10 * time.Second // for the last answers to arrive
)

// A client holds the load's sessions.
type client struct {
	loop           *loop
	meter          meter
	proxy, backend netip.AddrPort
	tls            *tls.Config // towards the proxy; nil if it does not speak TLS
	metrics        string
	dialing        int // sessions whose upgrade is under way
	closing        int // sessions whose close handshake is under way
	failed         int
	firstFailure   error
}

// A role is what a session does in a scenario. If a method returns an error, the session
// has failed.
type role interface {
	opened(s *session) error
	// data gets a part of a message's payload, which it must not keep.
	data(s *session, h *frameHeader, part []byte, offset uint64) error
	// closed is called after a completed close handshake.
	closed(s *session)
}

type sessionState uint8

const (
	upgrading sessionState = iota // to open, or failed
	open                          // to closing, or failed
	closing                       // our Close is sent: to closed, or failed
	closed                        // the peer's Close has arrived too; the end of TCP follows
)

// A session is the load's side of one WebSocket connection.
type session struct {
	client *client
	conn   *conn
	role   role
	state  sessionState
	head   []byte // the answer to the upgrade so far
	frames frameReader
	own    []byte // the payload so far of a frame that is not for the role and comes in parts
}

// dial begins a session. It calls r.opened when the session is open.
func (c *client) dial(to netip.AddrPort, path string, r role) error {
	s := &session{client: c, role: r}
	var err error
	if s.conn, err = c.connect(to, upgradeRequest(to.String(), path), s); err != nil {
		return err
	}
	c.dialing++
	return nil
}

// connect begins a connection whose first bytes will be request.
func (c *client) connect(to netip.AddrPort, request []byte, ep endpoint) (*conn, error) {
	if to == c.proxy && c.tls != nil {
		return c.loop.dialTLS(to, c.tls, request, ep)
	}
	return c.loop.dial(to, request, ep)
}

// openSessions opens n sessions through the proxy and waits for all of them.
func (c *client) openSessions(n int, path string, newRole func() role) error {
	deadline := time.Now().Add(openLimit)
	for started := 0; started < n || c.dialing > 0; {
		for ; started < n && c.dialing < dialWindow; started++ {
			if err := c.dial(c.proxy, path, newRole()); err != nil {
				return err
			}
		}
		if err := c.turn(deadline); err != nil {
			return fmt.Errorf("opening %d sessions: %w", n, err)
		}
	}
	return c.failure()
}

// closeSessions ends sessions by close handshakes and waits for all of them.
func (c *client) closeSessions(sessions []*session) error {
	deadline := time.Now().Add(openLimit)
	for begun := 0; begun < len(sessions) || c.closing > 0; {
		for ; begun < len(sessions) && c.closing < dialWindow; begun++ {
			if err := sessions[begun].close(); err != nil {
				return err
			}
		}
		if err := c.turn(deadline); err != nil {
			return fmt.Errorf("closing %d sessions: %w", len(sessions), err)
		}
	}
	return c.failure()
}

var errLate = errors.New("not done in time")

// turn serves one batch of events. It returns errLate if the deadline has passed.
func (c *client) turn(deadline time.Time) error {
	if time.Now().After(deadline) {
		return errors.Join(errLate, c.failure())
	}
	return c.loop.turn(10 * time.Millisecond)
}

// tick is like turn, but waits a millisecond at most, for a load with a fixed rate.
func (c *client) tick(deadline time.Time) error {
	if time.Now().After(deadline) {
		return errors.Join(errLate, c.failure())
	}
	return c.loop.turn(time.Millisecond)
}

// runFor serves events for a while.
func (c *client) runFor(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := c.loop.turn(left + time.Millisecond); err != nil {
			return err
		}
	}
}

// runUntil serves events until done returns true or a session has failed.
func (c *client) runUntil(limit time.Duration, done func() bool) error {
	for deadline := time.Now().Add(limit); !done() && c.failed == 0; {
		if err := c.turn(deadline); err != nil {
			return err
		}
	}
	return c.failure()
}

// cpuDuring returns the CPU time that the proxy uses during run.
func (c *client) cpuDuring(run func() error) (time.Duration, error) {
	before, err := c.meter.cpu()
	if err != nil {
		return 0, err
	}
	if err := run(); err != nil {
		return 0, err
	}
	after, err := c.meter.cpu()
	return after - before, err
}

// fail counts a failed session and keeps the first cause.
func (c *client) fail(err error) {
	c.failed++
	if c.firstFailure == nil {
		c.firstFailure = err
	}
}

// failure returns an error about the sessions that failed, or nil if none has.
func (c *client) failure() error {
	if c.failed == 0 {
		return nil
	}
	return fmt.Errorf("%d sessions failed, the first: %w", c.failed, c.firstFailure)
}

func (s *session) received(c *conn, p []byte) error {
	if s.state != upgrading {
		return s.frames.feed(p, s)
	}
	s.head = append(s.head, p...)
	head, rest, ok := cutHead(s.head)
	if !ok {
		return nil
	}
	if err := checkUpgraded(head); err != nil {
		return err
	}
	s.head = nil
	s.state = open
	s.client.dialing--
	if err := s.role.opened(s); err != nil {
		return err
	}
	return s.frames.feed(rest, s)
}

// drained calls the method drained of the role, if there is one.
func (s *session) drained(*conn) error {
	if r, ok := s.role.(interface{ drained(*session) error }); ok {
		return r.drained(s)
	}
	return nil
}

func (s *session) frame(h *frameHeader, part []byte, offset uint64) error {
	switch {
	case h.masked:
		return errors.New("a server's frame is masked")
	case s.state == closed:
		return errors.New("a frame follows the Close")
	case !h.isControl() && !mayBeAppPing(h):
		return s.role.data(s, h, part, offset)
	}
	s.own = append(s.own, part...)
	if uint64(len(s.own)) < h.length {
		return nil
	}
	payload := s.own
	s.own = nil
	switch h.opcode {
	case opText:
		return s.appPinged(payload)
	case opPing:
		return s.send(appendFrame(nil, opPong, &loadMask, payload))
	case opClose:
		if s.state != closing {
			return fmt.Errorf("unexpected Close %q", payload)
		}
		s.state = closed
	}
	return nil
}

// appPinged answers a heartbeat of the application.
func (s *session) appPinged(payload []byte) error {
	if err := checkAppPing(payload); err != nil {
		return err
	}
	return s.send(appPongFrame)
}

func (s *session) send(frame []byte) error { return s.conn.write(frame) }

// closeFrame is a Close with code 1000.
var closeFrame = appendFrame(nil, opClose, &loadMask, []byte{0x03, 0xE8})

// close begins the close handshake. role.closed is called when it is complete.
func (s *session) close() error {
	s.state = closing
	s.client.closing++
	return s.send(closeFrame)
}

// ended reports an end of the connection without both Closes as a failure. After both
// Closes a reset is not a failure.
func (s *session) ended(_ *conn, err error) {
	c := s.client
	switch s.state {
	case upgrading:
		c.dialing--
	case closing, closed:
		c.closing--
	default:
	}
	if s.state == closed {
		s.role.closed(s)
		return
	}
	if err == nil || err == io.EOF {
		err = errors.New("the connection ended without a Close")
	}
	c.fail(err)
}
