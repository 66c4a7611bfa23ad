package web

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/upgrade"
)

// flushInterval bounds how long the bytes of an answer of known length wait for
// more of them. Event streams and all else of unknown length never wait.
const flushInterval = 10 * time.Millisecond

// A passage is one request on its way to the upstream, and its answer's way back.
type passage struct {
	server   *Server
	guest    *Guest
	request  *upgrade.Request
	upstream Upstream
	story    forwarded.Story
	origin   Origin // set when it is dialled
	reply    *reply
	spelling spelling   // of the request's fields
	first    firstLines // none if net/http writes the right ones
	progress progress
}

// pass has the upstream answer a request.
func (s *Server) pass(out *reply, r *http.Request, g *Guest, request *upgrade.Request, as spelling) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer g.watch(cancel)()
	r = r.WithContext(ctx)
	p := &passage{server: s, guest: g, request: request, reply: out, spelling: as}
	p.story = s.cfg.Trust.Resolve(forwarded.Hop{
		Peer: g.From.Addr(), TLS: g.TLS, Host: request.Fields.Get(field.Host), Anonymous: g.Anonymous,
	}, request.Fields.Values)
	p.upstream = s.cfg.Upstream(request, p.story.Client)
	defer p.watchProgress(cancel)()
	proxy := httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      answers{transport{p}},
		FlushInterval:  flushInterval,
		ErrorLog:       s.errorLog,
		ModifyResponse: checkAnswer,
		ErrorHandler:   p.fail,
	}
	// Any protocol but WebSocket, h2c for one, stays on this side (RFC 9110 7.8).
	r.Header.Del(field.Upgrade)
	whole := false
	defer func() {
		if !whole {
			p.logCut(r.Context().Err() != nil)
		}
	}()
	proxy.ServeHTTP(out, r)
	whole = true
}

// watchProgress makes the request end when nothing has moved for HTTPTimeout.
func (p *passage) watchProgress(cancel func()) (stop func()) {
	p.progress.limit = p.server.cfg.HTTPTimeout
	p.progress.end = func() {
		p.progress.fault.Store(int32(p.blame()))
		cancel()
		p.reply.interrupt()
	}
	p.reply.progress = &p.progress
	p.guest.progress.Store(&p.progress)
	return func() {
		p.progress.stop()
		p.guest.progress.Store(nil)
	}
}

// blame says whom a request waits for.
func (p *passage) blame() fault {
	switch {
	case p.guest.writing.Load():
		return ofRecipient
	case p.reply.body != nil && p.reply.body.awaited.Load():
		return ofUploader
	default:
		return ofUpstream
	}
}

// logCut tells of an answer that was cut short. left says that its request was ended.
func (p *passage) logCut(left bool) {
	status := slog.Int("status", p.reply.status)
	switch by := p.progress.stalledBy(); {
	case by == ofUpstream:
		p.log(p.upstream.level(), "answer cut short: "+errStalled.Error(), status)
	case by != nobody:
		p.log(slog.LevelDebug, "answer cut short: "+errStalled.Error(), status)
	case !left:
		p.log(p.upstream.level(), "answer cut short: the upstream ended it early", status)
	}
}

// rewrite makes the request for the upstream. ReverseProxy has dropped what is for this
// hop only, by its name or because Connection names it. So Connection cannot take away
// what is added here.
func (p *passage) rewrite(pr *httputil.ProxyRequest) {
	s, out := p.server, pr.Out
	story := &p.story
	for name := range out.Header {
		if s.drops(name, story.Believed) {
			delete(out.Header, name)
		}
	}
	for _, f := range story.Fields {
		out.Header[f.Name] = []string{f.Value} // under its own name: net/http's is X-Real-Ip
	}
	for _, f := range s.cfg.Fields {
		out.Header.Set(f.Name, f.Value)
		p.spelling[http.CanonicalHeaderKey(f.Name)] = f.Name
	}
	if s.cfg.Name != "" {
		out.Header.Add(field.CDNLoop, s.cfg.Name)
	}
	p.rewriteBody(pr, story.Believed)
}

// rewriteBody makes the body bring its trailer fields along. The rules for header fields
// hold for them too, since some upstreams merge them into the header.
func (p *passage) rewriteBody(pr *httputil.ProxyRequest, believed bool) {
	if pr.Out.Body == nil {
		return
	}
	named := upgrade.NamedBy(pr.In.Header[field.Connection])
	for name := range pr.Out.Trailer {
		if p.server.drops(name, believed) || !named.PassesInTrailer(name) {
			delete(pr.Out.Trailer, name)
		}
	}
	if len(pr.Out.Trailer) == 0 {
		pr.Out.Trailer = nil
	}
	b := &body{ReadCloser: pr.Out.Body, from: pr.In, trailer: pr.Out.Trailer, progress: &p.progress}
	if pr.Out.Header.Get(field.Expect) != "" && !p.reply.http10 { // 100-continue, or net/http had refused it
		b.goAhead = p.reply.goAhead
		// An upstream that answers instead of asking for the body does not get it.
		// Without this the transport would send the body, to keep the connection.
		pr.Out.Close = true
	}
	p.reply.body, pr.Out.Body = b, b
}

// address gives a request its target and its Host, when it is known which origin it goes
// to. net/http writes placeholders where it would not write them as they are.
func (p *passage) address(out *http.Request) {
	lines := firstLines{
		target: p.upstream.target(p.request.Target),
		host:   cmp.Or(p.origin.Host, p.request.Fields.Get(field.Host), p.origin.Authority),
	}
	if !lines.passAsTheyAre() {
		p.first = lines
		lines = placeholder
	}
	out.Host = lines.host
	out.URL = &url.URL{Scheme: "http", Host: p.origin.Authority, Opaque: lines.target} // http: TLS is the origin's own
}

// target returns what the upstream is asked for by a client that asks for requested.
func (u *Upstream) target(requested string) string {
	if requested == "*" { // it means the server as a whole (RFC 9112 3.2.4)
		return requested
	}
	return string(upgrade.AppendTarget(nil, u.Prefix, requested))
}

var errSwitched = errors.New("101 to a request that asks for no upgrade")

// checkAnswer has a last look at the upstream's answer, and drops what is left in it of
// the fields of one hop.
func checkAnswer(answer *http.Response) error {
	dropHop(answer.Header)
	switch status := answer.StatusCode; {
	case status == http.StatusSwitchingProtocols:
		return errSwitched // or ReverseProxy would make a tunnel
	case status == http.StatusUpgradeRequired:
		// It must say to what (RFC 9110 15.5.22), but Upgrade is a matter of one hop.
		answer.Header.Set(field.Connection, field.Upgrade)
		answer.Header.Set(field.Upgrade, "websocket")
	}
	return nil
}

var (
	refuseBody = &upgrade.Refusal{
		Status: http.StatusBadRequest,
		Reason: "The request's body is malformed.",
	}
	refuseSlowBody = &upgrade.Refusal{
		Status: http.StatusRequestTimeout,
		Reason: "The request's body stopped coming.",
	}
	refuseTimeout = &upgrade.Refusal{
		Status: http.StatusGatewayTimeout,
		Reason: "The upstream did not answer in time.",
	}
	refuseInvalid = &upgrade.Refusal{
		Status: http.StatusBadGateway,
		Reason: "The upstream gave no valid answer.",
	}
)

// fail answers instead of the upstream.
func (p *passage) fail(_ http.ResponseWriter, r *http.Request, err error) {
	stalled := p.progress.stalledBy()
	if r.Context().Err() != nil && stalled == nobody {
		p.log(slog.LevelDebug, "client went away before the answer")
		panic(http.ErrAbortHandler) // returning would be an empty 200
	}
	if stalled != nobody {
		err = errStalled
	}
	refusal, level := p.refusalFor(err)
	p.log(level, "request failed", slog.Int("status", refusal.Status), slog.String("error", err.Error()))
	p.reply.refuse(refusal)
}

// refusalFor tells whose fault it is. What an operator has to look after is a
// warning.
func (p *passage) refusalFor(err error) (*upgrade.Refusal, slog.Level) {
	timeout, isNet := errors.AsType[net.Error](err)
	undialled, isDial := errors.AsType[*Undialled](err)
	switch {
	case p.progress.stalledBy() == ofUploader:
		return refuseSlowBody, slog.LevelDebug
	case p.progress.stalledBy() != nobody:
		return refuseTimeout, p.upstream.level()
	case p.reply.body != nil && p.reply.body.broken.Load():
		return refuseBody, slog.LevelDebug
	case isDial:
		return undialled.Refusal, p.upstream.level()
	case isNet && timeout.Timeout():
		return refuseTimeout, p.upstream.level()
	default:
		return refuseInvalid, p.upstream.level()
	}
}

// log tells of a request, without its query, which may hold secrets.
func (p *passage) log(level slog.Level, message string, more ...slog.Attr) {
	attrs := []slog.Attr{
		slog.String("client", p.guest.name()),
		slog.String("method", p.request.Method),
		slog.String("path", p.request.LoggedPath()),
	}
	if p.origin.Name != "" {
		attrs = append(attrs, slog.String("upstream", p.origin.Name), slog.String("address", p.origin.Address))
	}
	if p.server.cfg.Rations.Allows(level, message) {
		p.server.cfg.Log.LogAttrs(context.Background(), level, message, append(attrs, more...)...)
	}
}
