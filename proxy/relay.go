package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"holdfast/metrics"
	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// passRefusal passes an upstream's final answer that is not a 101 on to the client,
// whole. A body can have three framings and is rare here. So both connections leave the
// loop for a goroutine with the standard library's parser. They do not come back, and are
// closed after this one response.
func (l *loop) passRefusal(s *session, head *upgrade.Response) {
	o := s.opening
	r := &relay{
		server:  l.server,
		metrics: l.metrics,
		early:   append(head.Append(nil), o.reply...),
		fields:  head.Fields,
		time:    max(o.by.Sub(l.now), l.cfg.HandshakeTimeout),
		from:    s.addr,
		seat:    s.seat,
		has:     o.standing,
		target:  s.target,
		log:     l.log.With(idAttr(s.id), "client", ClientName(s.remote()), "path", s.path, "upstream", s.target.Name(), "address", s.target.Address()),
	}
	l.vacate(s)
	l.leaveTarget(s)
	conns, err := l.detach(s)
	if err != nil {
		r.fails(err)
		return
	}
	r.client, r.upstream = conns[client], conns[upstream]
	l.server.beside(r.pass)
}

// A relay is one response on its way from an upstream to a client.
type relay struct {
	server           *Server
	metrics          *metrics.Loop
	client, upstream transport
	early            []byte        // the bytes that the upstream has sent so far, with a head that Append has rewritten
	fields           field.Fields  // of that head, named as the upstream spells them
	time             time.Duration // for what is left of the response, and for the client to take it
	from             netip.Addr
	seat             peraddress.Seat // the client's, of its address from
	has              standing        // the client's
	target           *backend.Target
	log              *slog.Logger
}

// fails ends a relay whose connections are closed already.
func (r *relay) fails(err error) {
	r.metrics.Handshake(metrics.ResultInternal)
	r.log.Error("pass refusal on", "error", err)
	r.server.left(r.from, r.seat, r.has)
}

func (r *relay) pass() {
	c, u, err := r.conns()
	if err != nil {
		r.fails(err)
		return
	}
	defer func() { r.server.left(r.from, r.seat, r.has) }()
	defer c.Close()
	defer u.Close()
	if !r.server.relays.add(c, u) {
		r.metrics.Handshake(metrics.ResultDraining)
		return
	}
	defer r.server.relays.remove(c, u)
	deadline := r.server.clock.in(r.time)
	_ = c.SetDeadline(deadline) // it fails only on a closed connection, which the copy shows
	_ = u.SetDeadline(deadline) // it fails only on a closed connection, which the copy shows

	result := metrics.ResultInternal // if copy panics, which Guard records
	_ = r.server.panics.Guard(func() { result = r.copy(c, u) })
	r.metrics.Handshake(result)
	r.target.Counts().Handshake(result)
	_ = u.Close() // the response is copied
	if r.server.sendOut(&r.has) {
		r.finish(c) // the client may take its time
	}
}

// conns gives both descriptors to the standard library. On an error both are closed.
func (r *relay) conns() (c, u net.Conn, err error) {
	r.server.relays.handOver.Lock()
	defer r.server.relays.handOver.Unlock()
	c, errClient := r.server.detached(r.client)
	u, errUpstream := r.server.detached(r.upstream)
	if err := errors.Join(errClient, errUpstream); err != nil {
		for _, conn := range []net.Conn{c, u} {
			if conn != nil {
				conn.Close()
			}
		}
		return nil, nil, err
	}
	return c, u, nil
}

// copy writes the response to the client: the end-to-end header fields unchanged, and the
// body in a framing that shows the client where it ends. It returns how the handshake is
// counted.
func (r *relay) copy(c, u net.Conn) metrics.Result {
	from := bufio.NewReader(io.MultiReader(bytes.NewReader(r.early), u))
	resp, err := http.ReadResponse(from, &http.Request{Method: http.MethodGet})
	if err != nil {
		r.badGateway(c, err)
		return metrics.ResultUpstreamInvalid
	}
	defer resp.Body.Close()
	web.FilterTrailer(resp, upgrade.StripHop(resp.Header))
	if resp.StatusCode == http.StatusUpgradeRequired { // a 426 must name the protocol (RFC 9110 7.8, 15.5.22)
		resp.Header.Set("Connection", "Upgrade")
		resp.Header.Set("Upgrade", "websocket")
	}
	web.Respell(resp.Header, r.fields)
	resp.ProtoMajor, resp.ProtoMinor = 1, 1 // the version is ours, not the upstream's (RFC 9112 2.3)
	resp.Close = true
	if bodiless(resp.StatusCode) {
		resp.TransferEncoding = nil // net/http would frame what is not there
	}
	body := &relayedBody{ReadCloser: resp.Body}
	resp.Body = body
	if err := resp.Write(c); err != nil {
		r.logCut(resp.StatusCode, body.err, err)
	}
	if result := metrics.ResultUpstreamRefused; r.server.mayLog(slog.LevelInfo, result) {
		r.log.Info("handshake refused", "result", result.String(), "status", resp.StatusCode, "why", "the upstream's answer")
	}
	return metrics.ResultUpstreamRefused
}

// A relayedBody is a response's body that notes why it could not be read whole.
type relayedBody struct {
	io.ReadCloser
	err error // nil while the body is whole
}

func (b *relayedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// logCut tells of an answer that was cut short: by the upstream if unread is not nil, else
// by the client, which took no more of it.
func (r *relay) logCut(status int, unread, err error) {
	level, why := slog.LevelDebug, "the client took no more of it"
	switch {
	case errors.Is(unread, net.ErrClosed):
		why = "the proxy is shutting down"
	case errors.Is(unread, os.ErrDeadlineExceeded):
		level, why = upstreamLevel(r.target), "the upstream did not send all of it in time"
	case unread != nil:
		level, why = upstreamLevel(r.target), "the upstream ended it early"
	}
	if result := metrics.ResultUpstreamRefused; r.server.mayLog(level, result) {
		r.log.Log(context.Background(), level, "answer cut short: "+why, "result", result.String(), "status", status, "error", cmp.Or(unread, err))
	}
}

// bodiless reports whether an answer of that status has no body, whatever its fields say
// (RFC 9112 6.3).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

func (r *relay) badGateway(c net.Conn, err error) {
	level := upstreamLevel(r.target)
	if result := metrics.ResultUpstreamInvalid; r.server.mayLog(level, result) {
		r.log.Log(context.Background(), level, "handshake failed", "result", result.String(), "step", "upstream's answer", "error", err)
	}
	refusal := upstreamRefusal(metrics.ResultUpstreamInvalid)
	_, _ = c.Write(refusal.Append(nil)) // an error means that the client has gone
}

// finish ends our direction and reads what the client still sends: to close with input
// unread would send a reset that can destroy the response.
func (r *relay) finish(c net.Conn) {
	_ = c.(interface{ CloseWrite() error }).CloseWrite()            // it fails only if the connection has ended, which CopyN shows
	_ = c.SetDeadline(r.server.clock.in(r.server.cfg.CloseTimeout)) // it fails only on a closed connection
	_, _ = io.CopyN(io.Discard, c, lastWordMax<<10)                 // an error ends the wait just as well
}

// relays holds the connections of the relays under way, so that a shutdown can cut them.
type relays struct {
	// handOver is held while a relay's connections change hands. A connection has two
	// descriptors then, and the second one is reserved for one connection only.
	handOver sync.Mutex

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

func (rs *relays) add(conns ...net.Conn) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.ended {
		return false
	}
	if rs.conns == nil {
		rs.conns = make(map[net.Conn]struct{})
	}
	for _, c := range conns {
		rs.conns[c] = struct{}{}
	}
	return true
}

func (rs *relays) remove(conns ...net.Conn) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, c := range conns {
		delete(rs.conns, c)
	}
}

// cut closes every connection, which ends their goroutines.
func (rs *relays) cut() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.ended = true
	for c := range rs.conns {
		c.Close()
	}
}
