package proxy

import (
	"github.com/gobwas/ws"

	"holdfast/heartbeat"
	"holdfast/metrics"
	"holdfast/proxy/internal/frame"
	"holdfast/proxy/internal/message"
)

// Page scripts do not see pings, and some services count messages only. So the proxy also has
// heartbeats of text messages: it sends a ping of an application (App.Ping), takes the
// answers to it out of the peer's stream (App.Pong), and answers the heartbeats of the peer
// itself (App.Answers). The texts and rules are those of internal/message.
//
// Only small messages are looked at (frame.Gather). A message is held back while it may still
// match a rule, and passes as it came when it cannot. What is held is not a message yet. It
// is dropped if the stream ends, breaks the protocol or has a Close in its place.

// exists reports whether there are any messages of the proxy's own on the leg.
func (a *App) exists() bool { return a.Ping != "" || a.reads() }

// reads reports whether the messages of the peer are looked at.
func (a *App) reads() bool { return a.Pong != nil || len(a.Answers) > 0 }

// readsMessages reports whether the messages of any peer are looked at. Then permessage-deflate
// must not be agreed on, because a compressed message cannot be read.
func (c *Config) readsMessages() bool { return c.ClientApp.reads() || c.UpstreamApp.reads() }

// appRules are the rules of one kind of leg.
type appRules struct {
	*App
	ping  []byte // App.Ping
	rules heartbeat.Rules
	grid  heartbeat.Grid // the steps of the pings
}

// newAppRules returns the rules for a leg whose pings have the rules r. A data message is a
// sign of life of the application, and a pong is not.
func newAppRules(app *App, r heartbeat.Rules) appRules {
	r.Interval = 0
	if app.Ping != "" {
		r.Interval = app.Interval
	}
	r.Liveness, r.Pong = heartbeat.AnyByte, heartbeat.LearnPong
	if app.Pong == nil {
		r.Pong = heartbeat.IgnorePong
	}
	return appRules{app, []byte(app.Ping), r, heartbeat.GridFor(r.Interval)}
}

// mayMatch reports whether a message that begins so can match a rule.
func (r *appRules) mayMatch(beginning []byte) bool {
	if r.Pong != nil && r.Pong.MayMatch(beginning) {
		return true
	}
	for i := range r.Answers {
		if r.Answers[i].Asked.MayMatch(beginning) {
			return true
		}
	}
	return false
}

// answerTo returns the rule that matches a message, and what stands for its wildcard. It
// returns nil if none does.
func (r *appRules) answerTo(payload []byte) (rule *message.Answer, wild []byte) {
	for i := range r.Answers {
		if wild, ok := r.Answers[i].Asked.Match(payload); ok {
			return &r.Answers[i], wild
		}
	}
	return nil, nil
}

// An appLeg is the application's heartbeat on one leg of a session.
type appLeg struct {
	beat    heartbeat.State
	mark    int64   // position in the leg's stream behind the last ping
	backlog backlog // what was unread when a deadline came
	learnt  bool    // the client has answered a ping
	waiting uint16  // how many answers there are in answers
	answers []byte  // frames that wait for the end of a message
}

const (
	// maxAnswers is how many bytes of answers wait before a peer gets none for what it asks.
	// A peer that reads gets its answers at once.
	maxAnswers = 4 << 10
	// maxAnswer is the size of the longest frame that carries an answer: the text of a rule,
	// and in place of its wildcard a part of a message.
	maxAnswer = 2*frame.MaxGathered + frame.MaxTextHeader
	// extraRoom is kept free in a tail for what extras put into it: a message that was held
	// back, the answers and a ping.
	extraRoom = frame.MaxHeld + maxAnswers + maxAnswer + frame.MaxText + frame.MaxTextHeader
)

// An application's text is as long as Gather can collect.
const _ = uint(frame.MaxText-message.MaxText) + uint(message.MaxText-frame.MaxText)

// app returns the application's heartbeat on a leg of an open session, or nil if there is
// none.
func (l *loop) app(s *session, side Side) *appLeg {
	if x := l.extrasOf(s); x != nil {
		return &x.apps[side]
	}
	return nil
}

// judgeMessage decides on the text message at the start of b, at which Scan has stopped. r is how
// take goes on behind the first drop bytes of b. Control frames between the fragments of a
// message are moved in front of the message, because they do not wait for it. Then Scan comes
// to them first, and to the message again. A message that may still match is held back.
func (l *loop) judgeMessage(s *session, from Side, b []byte, seen *frame.Counts) (r frame.Result, drop int) {
	g := &s.legs[from]
	text := g.scan.Gather(b, &l.limits, l.text[:0])
	if text.Found == frame.Large || !l.apps[from].mayMatch(text.Payload) {
		g.scan.Skip()
		return frame.Result{Stop: frame.Message}, 0
	}
	switch text.Found {
	case frame.Whole:
		if !l.takeMessage(s, from, text.Payload) {
			g.scan.Skip()
			return frame.Result{Stop: frame.Message}, 0
		}
		seen[ws.OpText]++
		seen[ws.OpContinuation] += uint32(text.Frames - 1)
		return frame.Result{Stop: frame.Message}, text.Size
	case frame.Between:
		l.movesControls(from, b, text)
		return frame.Result{Stop: frame.Message}, 0
	case frame.Wrong:
		return frame.Result{Stop: frame.Broken, Violation: text.Violation}, text.At
	default:
		g.hold(b)
		g.held.between = text.EndsFrame(b)
		return frame.Result{Stop: frame.Message}, len(b)
	}
}

// movesControls moves the control frames between the fragments of a message in front of it, up
// to the first fragment with which the message matches no rule. The message is at the start of
// b, and text is what Gather has found of it: the first of the control frames.
func (l *loop) movesControls(from Side, b []byte, text frame.Text) {
	for may := true; may && text.Found == frame.Between; {
		var control [frame.MaxControl]byte
		copy(control[:], b[text.At:text.At+text.Size])
		copy(b[text.Size:], b[:text.At])
		b = b[copy(b, control[:text.Size]):]
		known := len(text.Payload)
		text.Resume(b, &l.limits)
		may = len(text.Payload) == known || l.apps[from].mayMatch(text.Payload)
	}
}

// takeMessage does what a rule says about a whole message of a peer. It returns false if no
// rule is about the message, which then passes.
func (l *loop) takeMessage(s *session, from Side, payload []byte) (taken bool) {
	app, a := &l.apps[from], l.app(s, from)
	if app.Pong != nil {
		if _, ok := app.Pong.Match(payload); ok {
			if pong := a.beat.Reply(&app.rules, l.now); pong.Counts {
				l.appAnswered(s, from, pong)
				return true
			}
		}
	}
	rule, wild := app.answerTo(payload)
	if rule == nil {
		return false
	}
	a.beat.Heard(&app.rules, l.now, false)
	if !rule.Swallows() && l.mayOweAnswer(s, from) {
		l.owesAnswer(s, from, rule.Append(l.own[:0], wild))
	}
	return true
}

// mayOweAnswer reports whether one more answer to a peer may wait. One read can bring more
// questions than that, so answers that can be written now do not wait for its end.
func (l *loop) mayOweAnswer(s *session, side Side) bool {
	g, a := &s.legs[side], l.app(s, side)
	if len(a.answers) >= maxAnswers {
		l.flush(s, side)
	}
	return s.cause.kind == live && g.out == outOpen && len(a.answers) < maxAnswers
}

// owesAnswer makes an answer to a peer's message due.
func (l *loop) owesAnswer(s *session, side Side, text []byte) {
	a := l.app(s, side)
	a.answers = l.appendText(a.answers, side, text)
	a.waiting++
}

// appAnswered records what an answer of the peer says about our pings.
func (l *loop) appAnswered(s *session, from Side, pong heartbeat.Answer) {
	g, a := &s.legs[from], l.app(s, from)
	l.metrics.AppPongReceived(from)
	if pong.Measured {
		l.metrics.AppRoundTrip(from, pong.Took)
		if g.out <= outHeld {
			g.acked = max(g.acked, a.mark)
		}
	}
	if from == client {
		a.learnt = true
	} else {
		s.target.NoteAppAnswer()
	}
	l.logAppPong(s, from, pong)
}

// answersApp reports whether the peer is known to answer the application's pings. A client
// shows it for its own session, a target for all of its sessions.
func (l *loop) answersApp(s *session, side Side) bool {
	if side == upstream {
		return s.target.AnswersApp()
	}
	return l.app(s, client).learnt
}

// heardApp records that a part of a data message has come from a peer. The application is
// alive.
func (l *loop) heardApp(s *session, from Side) {
	if a := l.app(s, from); a != nil {
		a.beat.Heard(&l.apps[from].rules, l.now, false)
	}
}

// hasTexts reports whether a message of the proxy's own waits to be written to a leg. It waits
// until the leg's tail is written. hasTexts is inlined, because it is asked at every read.
func (l *loop) hasTexts(s *session, side Side) bool {
	return l.extras != nil && l.hasTextsOfApp(s, side)
}

func (l *loop) hasTextsOfApp(s *session, side Side) bool {
	a, g := l.app(s, side), &s.legs[side]
	return a != nil && g.out == outOpen && g.tail == nil && (len(a.answers) > 0 || a.beat.Wanted())
}

// injectTexts writes the messages of the proxy's own that wait for a leg, whose stream is at
// the end of a message.
func (l *loop) injectTexts(s *session, side Side) {
	a := l.app(s, side)
	if len(a.answers) > 0 {
		answers, n := a.answers, a.waiting
		a.answers, a.waiting = nil, 0
		if l.send(s, side, answers) != lost {
			l.metrics.AppPingsAnswered(side, uint64(n))
		}
	}
	if l.hasTexts(s, side) {
		l.injectAppPing(s, side, a)
	}
}

// injectAppPing writes a ping of the application. Like a ping, it counts as sent when its
// last byte is in the kernel.
func (l *loop) injectAppPing(s *session, side Side, a *appLeg) {
	g := &s.legs[side]
	queued := l.sampleQueue(g)
	switch l.send(s, side, l.appendText(l.own[:0], side, l.apps[side].ping)) {
	case gone:
		l.appPinged(s, side, queued)
	case kept:
		g.tail.appEnd = g.tail.to
	case lost:
	}
}

// appPinged records that a ping of the application was written, see pinged.
func (l *loop) appPinged(s *session, side Side, queued bool) {
	a, g := l.app(s, side), &s.legs[side]
	if s.cause.kind != live {
		return
	}
	l.metrics.AppPingSent(side)
	now := l.clock()
	l.metrics.PingLag(max(0, now.Sub(a.beat.Due())))
	a.beat.Sent(&l.apps[side].rules, now, 0, l.answersApp(s, side), queued)
	a.mark, a.backlog = g.written(), 0 // moved stays, because a ping of the leg's may wait to be acknowledged
	l.logAppPing(s, side)
}

// appendText appends a text message as it is sent to side. Towards the upstream we are the
// client, so the frame is masked (RFC 6455 5.1).
func (l *loop) appendText(dst []byte, side Side, text []byte) []byte {
	if side == upstream {
		return frame.AppendMaskedText(dst, text, l.random.Mask())
	}
	return frame.AppendText(dst, text)
}

// beatApp does what the application's heartbeat on a leg asks for now.
func (l *loop) beatApp(s *session, side Side) {
	a, app, g := l.app(s, side), &l.apps[side], &s.legs[side]
	if a == nil {
		return
	}
	action := a.beat.Advance(l.now, app.grid.Horizon(l.now))
	if action == heartbeat.Look {
		delivery := l.delivery(g, a.mark, app.rules.Timeout, l.patienceFor(side))
		action = a.beat.Looked(&app.rules, l.now, delivery)
	}
	if action == heartbeat.Expired {
		l.drop(s, cause{side: side, reason: metrics.PingTimeout, detail: &appTimeout}, nil)
		return
	}
	l.flush(s, side)
}

// appTimeout is what a peer, and the log, are told when its application has not answered.
var appTimeout = "application heartbeat timeout"

// nextAppBeat returns when an application's heartbeat next has something to do.
func (l *loop) nextAppBeat(a *appLeg, side Side) heartbeat.Time {
	next := a.beat.Next()
	if a.beat.Waiting() {
		next = l.apps[side].grid.Alarm(next)
	}
	return next
}

// silenceApps stops the applications' heartbeats of a session that ends.
func (l *loop) silenceApps(s *session) {
	for _, side := range sides {
		if a := l.app(s, side); a != nil {
			a.beat.Stop()
			a.answers, a.waiting = nil, 0
		}
	}
}
