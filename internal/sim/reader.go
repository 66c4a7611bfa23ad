package main

// A reader is the reference for what the proxy does with the data frames of a peer: which
// bytes it passes on, and which messages it takes. It is given the frames as the peer sends
// them, in any pieces. A message that the proxy may take is held back while what has come of
// it can still match.
type reader struct {
	p    *peer
	head []byte // of a frame that is not there in full
	left uint64 // payload bytes of the frame that are still to come
	more bool   // the message goes on behind the frame
	key  []byte // the frame's mask key; nil: it has none
	at   int    // how many bytes of the frame's payload have come

	looks bool   // the message is held back
	held  []byte // its bytes
	text  []byte // its payload

	unsure int // frames of it that have come
	frames int // that were passed on, or were of a message that was taken
}

// feed takes the next bytes of the stream.
func (r *reader) feed(b []byte) {
	for len(b) > 0 {
		if r.left == 0 {
			r.head, b = append(r.head, b[0]), b[1:]
			begun := parser{head: r.head}
			if size, payload, whole := begun.size(); whole {
				r.begins(size, payload)
			}
			continue
		}
		n := int(min(uint64(len(b)), r.left))
		r.takes(b[:n])
		b = b[n:]
		if r.left -= uint64(n); r.left == 0 {
			r.ends()
		}
	}
}

// begins takes the header of a data frame.
func (r *reader) begins(size int, payload uint64) {
	h := r.head
	r.head, r.left, r.at, r.key = nil, payload, 0, nil
	if h[1]&0x80 != 0 {
		r.key = h[size-4:]
	}
	if h[0]&0xf != opContinuation {
		r.looks = h[0]&0x7f == opText && r.p.app().reads()
		r.held, r.text, r.unsure = nil, nil, 0
	}
	r.unsure++
	r.more = h[0]&0x80 == 0
	if r.looks && uint64(len(r.held)+size)+payload > mostLooked {
		if len(r.held)+size+int(min(payload, 2048)) < mostLooked+16 {
			r.p.sees("says a message just over the limit")
		}
		r.releases()
	}
	r.adds(h)
	if payload == 0 {
		r.ends()
	}
}

// adds passes bytes on, or holds them back.
func (r *reader) adds(b []byte) {
	if r.looks {
		r.held = append(r.held, b...)
		return
	}
	r.counts()
	r.p.sent = append(r.p.sent, b...)
}

// takes takes bytes of a payload.
func (r *reader) takes(b []byte) {
	r.adds(b)
	if !r.looks {
		return
	}
	for _, c := range b {
		if r.key != nil {
			c ^= r.key[r.at%4]
		}
		r.text = append(r.text, c)
		r.at++
	}
	if !r.p.app().mayMatch(string(r.text)) {
		r.p.sees("says what cannot match")
		r.releases()
	}
}

// releases passes on what was held back.
func (r *reader) releases() {
	r.looks = false
	r.p.sent = append(r.p.sent, r.held...)
	r.held, r.text = nil, nil
	r.counts()
}

// counts notes that what was held back is passed on or taken.
func (r *reader) counts() { r.frames, r.unsure = r.frames+r.unsure, 0 }

// ends ends a frame, and a message if it was the last one.
func (r *reader) ends() {
	if !r.looks || r.more {
		return
	}
	switch r.p.fate(string(r.text)) {
	case passes:
		r.releases()
	case mayPass:
		from := len(r.p.sent)
		r.releases()
		r.p.maybe = append(r.p.maybe, span{from, len(r.p.sent)})
	case taken:
		r.looks, r.held, r.text = false, nil, nil
		r.counts()
	}
}

// inside reports whether what is passed on ends inside a message.
func (r *reader) inside() bool { return (r.left > 0 || r.more) && !r.looks }

// A fate is what the proxy does with a whole message that it has looked at.
type fate uint8

const (
	passes fate = iota
	taken
	mayPass // it is taken if a ping of the proxy's has no answer, which the peer cannot know
)

// A span is a part of what a peer has sent that the other one may get, or not.
type span struct{ from, to int }

// ways are the positions in what the other peer has sent at which what a peer has got may
// end. There is more than one only behind a span.
type ways []int

// opens adds the ways that leave out a span.
func (w ways) opens(maybe []span) ways {
	for i := 0; i < len(w); i++ {
		for _, s := range maybe {
			if s.from == w[i] {
				w = w.with(s.to)
			}
		}
	}
	return w
}

// with adds a position.
func (w ways) with(at int) ways {
	for _, known := range w {
		if known == at {
			return w
		}
	}
	return append(w, at)
}

// follows returns the ways along which the next bytes are b.
func (w ways) follows(b, sent []byte, maybe []span) ways {
	for len(b) > 0 {
		w = w.opens(maybe)
		n := len(b)
		for _, at := range w {
			for _, s := range maybe {
				if s.from > at {
					n = min(n, s.from-at)
				}
			}
		}
		var next ways
		for _, at := range w {
			if at+n <= len(sent) && string(sent[at:at+n]) == string(b[:n]) {
				next = next.with(at + n)
			}
		}
		w, b = next, b[n:]
	}
	return w.opens(maybe)
}

// most is the position of the way that leaves out most.
func (w ways) most() (at int) {
	for _, each := range w {
		at = max(at, each)
	}
	return at
}
