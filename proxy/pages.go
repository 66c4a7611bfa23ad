package proxy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// passRequest gives a client whose request is not an upgrade to net/http's server,
// together with the bytes that have come. If the client later asks for an upgrade on the
// same connection, rejoin takes it back.
func (l *loop) passRequest(s *session) {
	if !l.server.countGuest() {
		l.refuse(s, metrics.ResultLimit, refuseFull)
		return
	}
	l.server.unpermit(&s.opening.standing)
	passed := false
	defer func() {
		if !passed {
			l.server.guests.Add(-1)
		}
	}()
	o := s.opening
	socket.SetUserTimeout(s.legs[client].io.FD(), l.cfg.pageUserTimeout())
	conns, err := l.detach(s)
	var conn net.Conn
	if err == nil {
		conn, err = l.server.detached(conns[client])
	}
	if err != nil {
		l.metrics.Handshake(metrics.ResultInternal)
		l.logHandshake(s, slog.LevelError, metrics.ResultInternal, "pass request on", err)
		l.server.left(s.addr, s.seat, o.standing)
		return
	}
	passed = true
	l.server.pages.Serve(&web.Guest{
		Conn:      conn,
		Account:   accountOf(s),
		Early:     bytes.TrimPrefix(o.head, []byte("\r\n")), // net/http would refuse the empty line
		From:      s.remote(),
		Anonymous: o.anonymous,
		TLS:       l.cfg.TLS != nil,
	})
}

// detached gives a connection that has left its loop to the standard library. On an error
// the connection is closed, and a panic is an error.
func (s *Server) detached(from transport) (conn net.Conn, err error) {
	if panicked := s.panics.Guard(func() { conn, err = from.Detach() }); panicked != nil {
		return nil, panicked
	}
	return conn, err
}

// rejoin takes back a connection on which an upgrade request has come.
func (s *Server) rejoin(g *web.Guest, head []byte) {
	s.guests.Add(-1)
	has := inside
	s.permit(&has)
	seat := seatOf(g)
	conn, err := s.attach(g.Conn)
	if err != nil {
		s.loops[0].metrics.Handshake(metrics.ResultInternal) // no loop has the client
		s.cfg.Log.Error("take connection back for an upgrade", "client", ClientName(g.From), "error", err)
		s.left(g.From.Addr(), seat, has)
		return
	}
	_ = socket.LimitBackoff(conn.FD(), s.options.RTOMax) // the same bound was set before, until Detach removed it
	socket.SetUserTimeout(conn.FD(), s.options.UserTimeout)
	to := s.chooseLoop()
	if !to.post(func() { to.rejoined(conn, g, append(head, g.Early...), has) }) {
		to.takesNone(conn, g.From, seat, has)
	}
}

// attach takes back a connection that a transport's Detach gave away.
func attach(c net.Conn) (transport, error) {
	if conn, ours, err := secure.Attach(c); ours {
		return conn, err
	}
	return attachBare(c)
}

// rejoined is accepted for a client that comes back from the server of pages.
func (l *loop) rejoined(conn transport, g *web.Guest, head []byte, has standing) {
	s := l.newHandshake(conn, g.From, seatOf(g), has)
	s.opening.anonymous = g.Anonymous
	s.opening.state = awaitRequest
	s.opening.head = head
	tls, hasTLS := conn.(secured)
	if hasTLS {
		l.adopt(tls)
	}
	switch {
	case !l.listenTo(s):
	case l.draining:
		l.refuse(s, metrics.ResultDraining, refuseDraining)
	default:
		l.rereadRequest(s, hasTLS)
	}
	l.update(s)
}

// rereadRequest continues with a request head that is whole. With TLS it first reads what
// was decrypted too early: that is in user space, and the kernel does not report it.
func (l *loop) rereadRequest(s *session, hasTLS bool) {
	if hasTLS {
		l.readHead(s, l.cfg.MaxHeaderSize)
	}
	if l.table.holds(s) {
		l.scanRequest(s)
	}
}

// dialForPage connects to a target for a request that is not an upgrade. It does the same
// as a handshake: it goes from target to target, waits for a place at each, and what comes
// of it says whether the target works. It ends when ctx, the request's context, is done.
func (s *Server) dialForPage(ctx context.Context, route *backend.Route) (net.Conn, *backend.Target, error) {
	var last *backend.Target
	for {
		switch route.Next(s.clock.now()) {
		case backend.Try:
			last = route.To
			conn, err := s.tryForPage(ctx, route)
			if conn != nil || err != nil {
				return conn, last, err
			}
		case backend.Wait:
			if err := s.awaitAddresses(ctx, route); err != nil {
				return nil, last, err
			}
		case backend.End:
			_, err := route.Err()
			return nil, last, &web.Undialled{Err: err, Refusal: s.undialledRefusal(err)}
		}
	}
}

// awaitAddresses waits until a lookup has found an address, or all have ended.
func (s *Server) awaitAddresses(ctx context.Context, route *backend.Route) error {
	within, cancel := context.WithTimeout(ctx, route.Begin(s.clock.now()).Sub(s.clock.now()))
	defer cancel()
	found := make(chan struct{})
	forgo := s.pool.Await(func() { close(found) })
	if forgo == nil {
		return nil
	}
	defer forgo()
	select {
	case <-found:
		return nil
	case <-within.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := route.Late()
		return &web.Undialled{Err: err, Refusal: s.undialledRefusal(err)}
	}
}

// tryForPage connects to the route's target. Without a connection and without an error the
// next target is to be tried.
func (s *Server) tryForPage(ctx context.Context, route *backend.Route) (net.Conn, error) {
	to := route.To
	defer to.Leave()
	to.Pages(1)
	defer to.Pages(-1)
	leave, err := s.awaitPlace(ctx, route)
	switch {
	case err == errWentDown, err == errQueuedTooLong && route.More(s.clock.now()):
		route.Skipped(err)
		return nil, nil
	case err == errQueuedTooLong:
		route.Skipped(err)
		_, err = route.Err()
		return nil, &web.Undialled{Err: err, Refusal: refuseBusy}
	case err == errPagesQueued:
		return nil, &web.Undialled{Err: err, Refusal: refuseBusy}
	case err == errShutdown:
		return nil, &web.Undialled{Err: err, Refusal: refuseDraining}
	case err != nil:
		return nil, err
	}
	defer leave()
	now := s.clock.now()
	if err := route.Amiss(now); err != nil {
		route.Skipped(err)
		return nil, nil
	}
	route.Share(now)
	conn, err := to.Connect(ctx, route.Until.Sub(now))
	switch {
	case err == nil:
		to.Learn(nil)
		s.outlast(conn)
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	route.Missed(err)
	return nil, nil
}

// outlast gives an upstream's connection the user timeout of pages.
func (s *Server) outlast(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { socket.SetUserTimeout(int(fd), s.cfg.pageUserTimeout()) }) // it fails only on a closed connection
}

// pagesQueued bounds the requests that wait to dial, in all loops together: each has a
// goroutine and net/http's buffers.
const pagesQueued = 2048

var errPagesQueued = errors.New("too many requests wait to dial")

// A pageTicket is a request for a page that waits in a queue for dialling.
type pageTicket struct {
	route *backend.Route // nil in a simulation
	come  func()         // called by the loop when it has a place
	away  func()         // called by the loop when it is to go on to another target

	// Owned by the loop.
	at   *queue // the queue in which it has a place; nil if it has none
	left bool
}

func (t *pageTicket) waits(*loop) bool { return !t.left }

func (t *pageTicket) begin(_ *loop, at *queue) {
	t.at = at
	at.lent++
	t.come()
}

func (t *pageTicket) goesOn(l *loop) {
	if t.route.Better(l.now) {
		t.left = true
		t.away()
	} else {
		l.enqueue(l.dialQueueOf(t.route.To), t)
	}
}

// awaitPlace waits in a loop's queue for a place at the route's target, for
// HandshakeTimeout at most. If err is nil, the caller must call leave after the dial. It is
// errWentDown if the target went down and another one is up.
func (s *Server) awaitPlace(ctx context.Context, route *backend.Route) (leave func(), err error) {
	defer s.pagesWaiting.Add(-1)
	if s.pagesWaiting.Add(1) > pagesQueued {
		return nil, errPagesQueued
	}
	l := s.loops[s.turns.Add(1)%uint64(len(s.loops))]
	come, away := make(chan struct{}), make(chan struct{})
	t := &pageTicket{route: route, come: func() { close(come) }, away: func() { close(away) }}
	to := route.To
	if !l.post(func() { l.lineUp(t, to) }) {
		return nil, errShutdown
	}
	leave = func() { l.post(func() { l.leaveQueue(t) }) }
	patience, cancel := context.WithTimeout(ctx, s.cfg.HandshakeTimeout)
	defer cancel()
	select {
	case <-come:
		return leave, nil
	case <-away:
		return nil, errWentDown
	case <-patience.Done():
		leave()
		return nil, cmp.Or(ctx.Err(), errQueuedTooLong)
	}
}

// lineUp takes a place for a page's dial, or adds it to the queue.
func (l *loop) lineUp(t *pageTicket, to *backend.Target) {
	at := l.dialQueueOf(to)
	if at.full() {
		l.enqueue(at, t)
		return
	}
	at.places--
	t.begin(l, at)
}

// leaveQueue gives back the ticket's place, or ends its wait for one.
func (l *loop) leaveQueue(t *pageTicket) {
	t.left = true
	if t.at != nil {
		t.at.places++
		t.at.lent--
		t.at = nil
	}
}

// pageUpstream returns where a client's request for a page goes.
func (s *Server) pageUpstream(r *upgrade.Request, client netip.Addr) web.Upstream {
	route := s.pool.Route(r, client)
	return web.Upstream{
		Prefix: s.pool.Prefix(),
		Dial: func(ctx context.Context) (net.Conn, web.Origin, error) {
			conn, to, err := s.dialForPage(ctx, &route)
			return conn, originOf(to), err
		},
		Down: func() bool { return !s.pool.Works() },
	}
}

// originOf returns the target that a request for a page has reached, or has failed at; nil
// if there is none.
func originOf(t *backend.Target) web.Origin {
	if t == nil {
		return web.Origin{}
	}
	return web.Origin{Authority: t.Authority(), Host: t.Host(), Name: t.Name(), Address: t.Address()}
}

// webConfig returns the configuration of the server of pages.
func (s *Server) webConfig() web.Config {
	return web.Config{
		Upstream:         s.pageUpstream,
		Name:             s.name,
		HasPassed:        s.hasPassed,
		Fields:           s.cfg.UpstreamHeader,
		Trust:            &s.trust,
		HandshakeTimeout: s.cfg.HandshakeTimeout,
		HTTPTimeout:      s.cfg.HTTPTimeout,
		MaxHeaderSize:    s.cfg.MaxHeaderSize,
		Log:              s.cfg.Log,
		ErrorLog:         s.panics.ErrorLog(slog.LevelDebug),
		Rations:          s.rations,
		Count:            s.cfg.Metrics.HTTPRequest,
		Upgrade:          s.rejoin,
		Gone:             s.guestGone,
	}
}
