package demo

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// service is an echo service of the usual kind: for each client it has a goroutine that
// waits for the next message without a limit. It answers pings and never sends one. So it
// never learns that a client is gone whose Close and end of TCP did not arrive.
type service struct {
	listener net.Listener
	journal  *journal
	running  sync.WaitGroup // serve and handle

	mu      sync.Mutex
	closing bool
	conns   map[net.Conn]struct{}
	visits  map[*visit]struct{}
}

// visit is a client's session with the service.
type visit struct {
	net.Conn
	name    string
	through bool // it came through a proxy
	since   time.Time
	heard   atomic.Int64 // when the last bytes arrived, in nanoseconds after since
}

// Read records when bytes arrived.
func (v *visit) Read(p []byte) (int, error) {
	n, err := v.Conn.Read(p)
	if n > 0 {
		v.heard.Store(int64(time.Since(v.since)))
	}
	return n, err
}

func (v *visit) age() time.Duration    { return time.Since(v.since) }
func (v *visit) silent() time.Duration { return v.age() - time.Duration(v.heard.Load()) }

func startService(j *journal) (*service, error) {
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		return nil, err
	}
	s := &service{
		listener: listener,
		journal:  j,
		conns:    map[net.Conn]struct{}{},
		visits:   map[*visit]struct{}{},
	}
	s.running.Go(s.serve)
	return s, nil
}

func (s *service) address() string { return s.listener.Addr().String() }

// serve accepts until close. An error of Accept means that the listener was closed.
func (s *service) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { s.handle(conn) })
	}
}

func (s *service) handle(conn net.Conn) {
	defer conn.Close()
	if !s.enter(conn) {
		return
	}
	defer s.leave(conn)
	v := &visit{Conn: conn, since: time.Now()}
	if _, err := v.upgrader().Upgrade(v); err != nil {
		return
	}
	s.begin(v)
	s.end(v, converse(v, v, ws.StateServerSide, func(op ws.OpCode, payload []byte) error {
		return wsutil.WriteServerMessage(v, op, payload)
	}))
}

// upgrader takes the client's name and path from the handshake.
func (v *visit) upgrader() ws.Upgrader {
	return ws.Upgrader{
		OnRequest: func(uri []byte) error {
			v.name = nameOf(string(uri))
			return nil
		},
		OnHeader: func(key, _ []byte) error {
			v.through = v.through || strings.EqualFold(string(key), "X-Forwarded-For")
			return nil
		},
	}
}

var plainName = regexp.MustCompile(`^/([A-Za-z0-9-]{1,20})$`)

// nameOf returns the client's name, which is the path of its request. The name is printed
// on a terminal, so other characters are not accepted.
func nameOf(path string) string {
	if m := plainName.FindStringSubmatch(path); m != nil {
		return m[1]
	}
	return "a stranger"
}

func (s *service) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *service) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *service) begin(v *visit) {
	s.mu.Lock()
	s.visits[v] = struct{}{}
	s.mu.Unlock()
	s.journal.add(event{Who: theService, Text: v.name + " is here", kind: opened, name: v.name})
}

func (s *service) end(v *visit, err error) {
	s.mu.Lock()
	delete(s.visits, v)
	closing := s.closing
	s.mu.Unlock()
	if closing {
		return // the service has ended the session, and not the client
	}
	f := farewellOf(err)
	s.journal.add(event{
		Who:    theService,
		Text:   fmt.Sprintf("%s has left: %s", v.name, f),
		kind:   ended,
		name:   v.name,
		code:   f.code,
		reason: f.reason,
	})
}

// present returns the clients that the service believes to be connected, in the order of
// their arrival.
func (s *service) present() []*visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*visit
	for v := range s.visits {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *visit) int {
		return cmp.Or(a.since.Compare(b.since), strings.Compare(a.name, b.name))
	})
	return all
}

// find returns the visit of that name, or nil if there is none.
func (s *service) find(name string) *visit {
	for _, v := range s.present() {
		if v.name == name {
			return v
		}
	}
	return nil
}

func (s *service) close() {
	s.listener.Close()
	s.mu.Lock()
	s.closing = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}
