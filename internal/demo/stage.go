package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

// anyPort is a free port that only this machine can reach.
const anyPort = "127.0.0.1:0"

// times are the demo's durations.
type times struct {
	limit    time.Duration // after so long a silence the middlebox forgets a connection
	interval time.Duration // of Holdfast's pings, and of the heartbeats for scripts
	timeout  time.Duration // for the answers to the pings
	bound    time.Duration // a script takes so long a silence after a heartbeat for the end of its path
	silence  time.Duration // how long clients A and B are silent; longer than limit
	hope     time.Duration // how long A waits for its echo
	patience time.Duration // how long to wait for an event that must come
	grace    time.Duration // how much later than promised an event may be on a busy machine
}

// stage is everything that a demo runs: the service, the middlebox, Holdfast
// and the clients, all in one process and on loopback.
type stage struct {
	times   times
	journal *journal
	service *service
	box     *middlebox
	proxy   *proxy.Server
	metrics *metrics.Metrics
	book    *status.Book // what the status page shows

	statusPage string // its address; empty if nothing serves it
	straight   string // through the middlebox to the service
	through    string // through the middlebox to Holdfast, and from there to the service

	running sync.WaitGroup
	fail    context.CancelCauseFunc // ends the demo if Holdfast cannot go on

	mu      sync.Mutex
	clients map[string]*client // by local address
	lost    map[string]bool    // names of those whose connection was cut
}

// newStage sets everything up. If it fails, nothing is left running.
func newStage(t times, out io.Writer, fail context.CancelCauseFunc) (*stage, error) {
	s := &stage{
		times:   t,
		journal: newJournal(out),
		metrics: metrics.New("demo"),
		fail:    fail,
		clients: map[string]*client{},
		lost:    map[string]bool{},
	}
	s.book = status.New("demo", s.metrics.Snapshot, time.Now())
	if err := s.build(); err != nil {
		s.close()
		return nil, fmt.Errorf("the demo cannot start: %w", err)
	}
	return s, nil
}

func (s *stage) build() (err error) {
	s.box = newMiddlebox(s.times.limit, s.noteCut)
	if s.service, err = startService(s.journal); err != nil {
		return err
	}
	if s.straight, err = s.box.route(s.service.address()); err != nil {
		return err
	}
	if s.proxy, err = newProxy(s.times, s.service.address(), s.journal, s.metrics, s.book); err != nil {
		return err
	}
	s.running.Go(s.runProxy)
	s.through, err = s.box.route(s.proxy.Addr().String())
	return err
}

func (s *stage) runProxy() {
	if err := s.proxy.Run(); err != nil {
		s.fail(fmt.Errorf("holdfast: %w", err))
	}
}

// noteCut records that the middlebox has cut the connection from address.
func (s *stage) noteCut(address net.Addr) {
	name := "a stranger"
	s.mu.Lock()
	if c := s.clients[address.String()]; c != nil {
		name = c.name
		s.lost[name] = true
	}
	s.mu.Unlock()
	s.journal.add(event{
		Who:  theMiddlebox,
		Text: fmt.Sprintf("has cut %s off, silent for %v; tells nobody", name, s.times.limit),
		kind: cut,
		name: name,
	})
}

// cutOff lets the middlebox cut a client's connection that is not silent. address is an end
// of it, as for middlebox.cut. It returns false if the middlebox has no such connection.
func (s *stage) cutOff(name string, address net.Addr) bool {
	if !s.box.cut(address) {
		return false
	}
	s.mu.Lock()
	s.lost[name] = true
	s.mu.Unlock()
	s.journal.add(event{
		Who:  theMiddlebox,
		Text: fmt.Sprintf("has cut %s off, as a restart would; tells nobody", name),
		kind: cut,
		name: name,
	})
	return true
}

// dial connects a client. It is frozen until wake is called.
func (s *stage) dial(ctx context.Context, name, address string) (*client, error) {
	c, err := dial(ctx, name, address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.clients[c.conn.LocalAddr().String()] = c
	s.mu.Unlock()
	// The service has answered, but may not have added its event yet.
	if _, err := s.await(ctx, opened, name); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// wake makes a client read and answer.
func (s *stage) wake(c *client) { s.running.Go(c.listen) }

func (s *stage) hangUp(c *client) {
	s.mu.Lock()
	delete(s.clients, c.conn.LocalAddr().String())
	s.mu.Unlock()
	c.conn.Close()
}

// isLost reports whether the middlebox has cut the client off.
func (s *stage) isLost(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost[name]
}

var errNothingCame = errors.New("nothing came")

// await waits for an event, but no longer than patience.
func (s *stage) await(ctx context.Context, k kind, name string) (event, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.times.patience, errNothingCame)
	defer cancel()
	return s.journal.await(ctx, k, name)
}

// close ends all parts that were built, and waits for them.
func (s *stage) close() {
	if s.proxy != nil {
		// Sessions that had to be cut are those of frozen clients or of a slow browser.
		_, _ = s.proxy.Shutdown(context.Background(), proxy.Stop{Timeout: closeTimeout})
	}
	s.mu.Lock()
	for _, c := range s.clients {
		c.conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	if s.service != nil {
		s.service.close() // before the middlebox, whose end would end the ghosts too
	}
	s.box.close()
	s.journal.close()
}
