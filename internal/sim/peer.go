package main

import (
	"bytes"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

const (
	client  = proxy.Side(0)
	service = proxy.Side(1)
)

// A peer is a client or a service in one conversation.
type peer struct {
	w     *World
	talk  *talk
	side  proxy.Side
	plan  *Actor
	other *peer
	s     *wire // nil until it is connected

	// What it has been sent.
	head     []byte // HTTP, before the frames
	open     bool   // there are frames
	parser   parser
	at       ways   // where what came of the other peer's data frames ends in what it has sent
	ended    bool   // its TCP has ended, or was reset
	refused  bool   // it got an answer that is not a 101
	refusal  []byte // the body of that
	gotClose []byte
	pings    int           // of the proxy's that came
	pongAt   time.Duration // when a pong came inside a message, having waited its time
	openedAt time.Duration // when its session opened
	pingAt   time.Duration // when the last of them did
	watched  bool          // the end of its session is watched
	hasClose bool
	toldAt   time.Duration // when its Close came

	// What it sends.
	out      queue           // what its TCP has not taken
	taken    int             // bytes that it has
	sent     []byte          // data frames as they stand on the wire, without those after a fault
	maybe    []span          // parts of sent that the proxy may have taken
	reader   reader          // what the proxy does with its data frames
	weight   int64           // payload bytes of the message that it says
	over     string          // why its frame or message goes over a limit; "": both, or none does
	rest     []byte          // of a frame that has begun
	dragsTo  time.Duration   // when a message ends that is dragged out
	unended  bool            // the last part of its message never comes
	wrote    int             // bytes, those that wait included
	framed   int             // those of them that are frames'
	pinged   [][]byte        // payloads of its own pings
	pingedAt []time.Duration // when they were sent
	answered int             // up to which of them has an answer

	ponged [][]byte // payloads of its pongs, but for the answers to the proxy
	kept   [][]byte // payloads of the proxy's pings
	passed [2]int   // how many of the other peer's pings and pongs have come

	closePayload *[]byte       // of its Close
	closedAt     time.Duration // when it was sent
	lastWord     bool          // its Close has arrived, and a reset followed at once
	wasBehind    bool          // its stream ended while isBehind held
	asked        [][]byte      // payloads of pings from the proxy or the other peer, not answered yet
	closing      bool          // it has sent its Close
	hurries      bool          // it says nothing new, since it owes a Close
	writeEnd     bool

	frozen   time.Duration // until when it does nothing
	readsAt  time.Duration // when it may read again
	violated bool          // it has broken the protocol: what it sends after that is for nobody
	brokeAt  time.Duration // when it first did what it may be dropped for
	saidAt   time.Duration // when it last sent data
	deadAt   time.Duration // when it fell silent for ever; 0: never
	halts    bool          // it did so in the middle of a frame
	noted    bool          // an event of its own is under way to look at the socket
	headOut  time.Duration // when the last piece of its head is sent
	appl     application
}

func newPeer(t *talk, side proxy.Side, plan *Actor) *peer {
	room := t.w.room
	p := &peer{w: t.w, talk: t, side: side, plan: plan, brokeAt: never, sent: room.bytes(), out: queue{b: room.bytes()}, at: ways{0}}
	p.reader.p = p
	return p
}

func (p *peer) gone() bool { return p.s == nil || p.s.Closed() }

// connects gives the peer its connection.
func (p *peer) connects(s *wire) {
	p.s = s
	p.parser = parser{wantsMask: p.side == service, control: p.control, bytes: p.data}
	if k := p.app(); k.Ping != "" || k.Answers != "" {
		p.parser.own = p.isTold
	}
	s.Notify = p.note
	p.note()
}

// note looks at the socket soon.
func (p *peer) note() {
	if !p.noted {
		p.noted = true
		p.w.after(0, p.looks)
	}
}

// looks does what can be done now: write what waits, read what is there.
func (p *peer) looks() {
	p.noted = false
	if p.gone() || p.frozen == never {
		return
	}
	if at := max(p.frozen, p.readsAt); at > p.w.now && p.frozen > p.w.now {
		p.w.after(at-p.w.now, p.note)
		return
	}
	p.flushes()
	if p.gone() {
		return
	}
	if p.readsAt > p.w.now {
		p.w.after(p.readsAt-p.w.now, p.note)
		return
	}
	p.reads()
}

func (p *peer) writes(b []byte) {
	if p.gone() || p.writeEnd {
		return
	}
	p.out.add(b)
	if p.side == client && p.wrote >= p.talk.headSize() {
		p.talk.isReadInTime(b)
		p.framed += len(b)
	}
	p.wrote += len(b)
	if p.frozen <= p.w.now {
		p.flushes()
	}
}

func (p *peer) flushes() {
	for (p.out.len() > 0 || p.s.hasUnsent()) && !p.gone() {
		n, err := p.s.Write(p.out.bytes())
		p.taken += n
		p.out.drop(n)
		if err == proxy.ErrAgain || err == nil && n == 0 {
			return
		}
		if err != nil {
			if errors.Is(err, unix.ETIMEDOUT) { // its own TCP has given up
				p.brokeNow()
			}
			p.out.drop(p.out.len())
			return // its end is read
		}
	}
}

// sendsInPieces sends a head, cut anywhere, within half a second.
func (p *peer) sendsInPieces(b []byte) {
	rnd := p.w.choices
	var at time.Duration
	for len(b) > 0 {
		n := 1 + rnd.IntN(len(b))
		if rnd.IntN(2) == 0 {
			n = len(b)
		}
		piece := b[:n]
		if at == 0 {
			p.writes(piece)
		} else {
			p.w.after(at, func() { p.writes(piece) })
		}
		if b = b[n:]; len(b) > 0 {
			at += spread(rnd, 50*time.Millisecond)
			if at >= 400*time.Millisecond {
				at = 400 * time.Millisecond
			}
		}
	}
	p.headOut = p.w.now + at
}

// chunk is what is read at once.
const chunk = 16 << 10

func (p *peer) reads() {
	if p.ended {
		return // it is lazy
	}
	b := p.w.room.read[:]
	for !p.gone() {
		most := len(b)
		if p.plan.Rate > 0 {
			most = min(most, p.plan.Rate/10)
		}
		n, err := p.s.Read(b[:most], most)
		if n > 0 {
			p.takes(b[:n])
			if p.plan.Rate > 0 {
				p.readsAt = p.w.now + time.Duration(n)*time.Second/time.Duration(p.plan.Rate)
				p.w.after(p.readsAt-p.w.now, p.note)
				return
			}
			continue
		}
		if err == proxy.ErrAgain {
			return
		}
		p.ends(err)
		return
	}
}

// ends: the stream from the proxy is over.
func (p *peer) ends(err error) {
	p.ended, p.wasBehind = true, p.isBehind()
	p.wantsEnd()
	if p.side == client {
		p.talk.mayEndUntold(err)
	}
	p.tells("<- the stream ends: %v", err)
	if p.refused {
		p.talk.wantsRefusal()
		p.talk.isFull(string(p.refusal))
		p.talk.countsRefusal(string(p.refusal))
	}
	if p.parser.left > 0 || len(p.parser.head) > 0 {
		p.w.see(p.side.String() + " cut inside a frame")
	}
	if !errors.Is(err, io.EOF) {
		p.brokeNow() // after a reset nothing is healthy any more
	}
	if p.plan.Lazy && errors.Is(err, io.EOF) {
		p.isLazy()
		return
	}
	_ = p.s.Close()
}

// isLazy notes what a client has got that leaves its TCP open behind that.
func (p *peer) isLazy() {
	switch {
	case p.talk.opened:
		p.w.see("lazy after its session")
	case p.refused && p.talk.refusal != nil:
		p.w.see("lazy after a refusal passed on")
	case p.refused:
		p.w.see("lazy after a refusal")
	}
}

// takes looks at bytes that came.
func (p *peer) takes(b []byte) {
	if p.refused {
		p.takesRefusal(b)
		return
	}
	if p.side == client && !p.open {
		p.head = append(p.head, b...)
		end := bytes.Index(p.head, endOfHead)
		if end < 0 {
			return
		}
		head := string(p.head[:end+4])
		b = p.head[end+4:]
		p.head = nil
		pages := p.talk.pages
		p.talk.answered(head)
		if !p.open {
			if p.talk.pages == pages {
				p.takesRefusal(b)
			}
			return
		}
	}
	before := p.parser.data
	p.busy()
	if err := p.parser.takes(b); err != nil {
		p.w.fails("%v %d is sent what breaks the protocol: %v", p.side, p.talk.number, err)
	}
	p.busy()
	if now := p.parser.data; now > before {
		p.talk.carries()
		p.tells("<- %d bytes of data, %d in all", now-before, now)
	}
}

// takesRefusal collects the body of a refusal.
func (p *peer) takesRefusal(b []byte) {
	p.refusal = append(p.refusal, b...)
	if r := p.talk.refusal; r != nil {
		r.got = append(r.got, b...)
		return
	}
	p.talk.miss.text = append(p.talk.miss.text, b...)
}

// data holds the bytes of data frames against those that the other peer has sent.
func (p *peer) data(b []byte) {
	at := p.received()
	if p.at = p.at.follows(b, p.other.sent, p.other.maybe); len(p.at) == 0 {
		p.w.fails("%v %d: bytes %d to %d are not those that were sent", p.side, p.talk.number, at, at+len(b))
		p.at = ways{at}
	}
}

// received is how many bytes of what the other peer has sent have come, or need not come.
func (p *peer) received() int { return p.at.opens(p.other.maybe).most() }

// halvesWhenWritten ends TCP once all is written.
func (p *peer) halvesWhenWritten() {
	if p.gone() || p.writeEnd {
		return
	}
	if p.out.len() > 0 || p.s.hasUnsent() {
		p.note()
		p.w.after(50*time.Millisecond, p.halvesWhenWritten)
		return
	}
	p.writeEnd = true
	_ = p.s.CloseWrite()
}

func (p *peer) closes(payload []byte) {
	if p.closing || p.writeEnd {
		return
	}
	if p.w.told() {
		p.tells("sends %s", controlName(opClose, payload))
	}
	p.abandons("closes")
	p.writes(p.frame(0x80|opClose, payload))
	p.closing, p.closePayload, p.closedAt = true, &payload, p.w.now
	p.awaitsEcho()
}

// frame is one frame of the peer's; a client masks it. It is valid until the next call.
func (p *peer) frame(first byte, payload []byte) []byte {
	var mask *[4]byte
	if p.side == client {
		mask = &[4]byte{byte(p.w.choices.Uint32()), 2, 3, byte(len(payload))}
	}
	p.w.room.frame = appendFrame(p.w.room.frame[:0], first, mask, payload)
	return p.w.room.frame
}

// says sends bytes of data frames, which must come out at the other end.
func (p *peer) says(frame []byte) {
	if p.silent() || p.appl.dull {
		return
	}
	if !p.violated {
		p.passesOn(frame)
	}
	p.writes(frame)
}

// passesOn notes what of the bytes must come out at the other end.
func (p *peer) passesOn(frame []byte) {
	sent, maybe, held := len(p.sent), len(p.maybe), p.reader.looks
	p.other.busy()
	p.reader.feed(frame)
	p.other.busy()
	if len(p.sent) > sent || held && !p.reader.looks {
		p.appl.wordAt = p.w.now
	}
	if len(p.sent) == sent || len(p.maybe) > maybe {
		return
	}
	p.saidAt = p.w.now
	if !p.hasClose { // what follows a Close keeps no session
		p.talk.saidAt = [2]time.Duration{p.talk.saidAt[1], p.w.now}
	}
	p.talk.carries()
}

// breaksProtocol: from now on the proxy may drop the peer, and passes nothing of it on.
func (p *peer) breaksProtocol() {
	p.abandons("violates")
	p.brokeNow()
	p.violated = true
}

func (p *peer) brokeNow() { p.brokeAt = min(p.brokeAt, p.w.now) }

// leaves closes TCP.
func (p *peer) leaves() {
	if !p.gone() {
		p.brokeNow()
		p.tells("closes TCP")
		p.abandons("leaves")
		_ = p.s.Close()
	}
}

func (p *peer) resets() {
	if !p.gone() {
		p.brokeNow()
		p.tells("resets TCP")
		_ = p.s.Reset()
	}
}
