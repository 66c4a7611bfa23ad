package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/sim/kernel"
	"holdfast/proxy"
)

// A talk is one conversation as it takes place.
type talk struct {
	w       *World
	number  int
	plan    *Conversation
	client  *peer
	service *peer
	opened  bool             // the client has got its 101
	clean   bool             // see isClean
	prompt  bool             // see isPrompt
	moved   int              // how often data moved
	saidAt  [2]time.Duration // when a peer said something: the time before last, and last
	ended   *proxy.Ended
	faulty  bool          // a call for it has panicked
	strikes bool          // and its session was in its prime then: see panicking.go
	askedAt time.Duration // when the client came, or asked for a session after pages
	may     []*host       // those that the proxy knew then, for some time to come
	dials   []dial        // for its handshake
	miss    miss
	asked   *caller // the first connection on which bytes of its request have come; nil: none have
	host    *host   // that has its request
	refusal *refusal
	pages   int  // that the client has got
	rejoins bool // it asks for a session after that
	others  int  // how many others had a permit at most since it has wanted one

	operator operated
	pace     paced

	cameAt     time.Duration // when the client came
	endedAt    time.Duration // when its session ended
	foundOpen  bool          // a drain has found its session open
	atDoor     bool          // it is late, and was let in when the door was being shut
	mustBeTold bool          // it is late, and nothing is in the way of an answer
}

func newTalk(w *World, i int) *talk {
	t := &talk{w: w, number: i, plan: &w.plan.Sessions[i]}
	t.clean, t.prompt = w.plan.isClean(t.plan), w.plan.isPrompt(t.plan)
	t.client = newPeer(t, client, &t.plan.Client)
	t.service = newPeer(t, service, &t.plan.Service)
	t.client.other, t.service.other = t.service, t.client
	w.after(t.plan.At, t.begins)
	return t
}

// begins: the client connects.
func (t *talk) begins() {
	s, err := t.w.door.Dial(address(t.number))
	t.cameAt = t.w.now
	if err != nil {
		t.client.tells("is not let in: %v", err)
		if !t.w.drain.signalled && t.w.door.FD() < 0 {
			t.w.fails("client %d finds the door shut, and no signal has come", t.number)
		}
		return
	}
	t.asks()
	t.client.tells("connects, connection %d", s.Number())
	t.w.connects(s)
	t.client.connects(&wire{Socket: s, sealed: t.w.plan.Knobs.ClientTLS})
	t.wantsPermit()
	t.awaitsAnswer()
	t.comesLate()
	t.greets(s)
	if o := t.plan.Opening; o != Opens {
		t.w.see("opening: " + o.String())
	}
	switch t.plan.Opening {
	case SaysNothing:
	case Drips:
		t.drips([]byte(t.request()))
	case AsksWrong:
		t.client.sendsInPieces([]byte(strings.Replace(t.request(), "Host:", "Host :", 1)))
	case AsksPage:
		t.client.sendsInPieces([]byte(pageRequest))
	default:
		t.client.sendsInPieces([]byte(t.request()))
		if t.plan.Client.Early {
			t.client.saysEarly()
		}
		t.w.after(t.client.headOut-t.w.now, t.wantsPermit)
		if t.plan.Opening == LeavesEarly {
			t.w.after(spread(t.w.choices, time.Second), func() {
				t.client.leaves()
				t.freesUpstream()
			})
		}
	}
}

// greets sends what comes before the request: a PROXY header, and the beginning of TLS.
func (t *talk) greets(s *kernel.Socket) {
	if t.plan.Opening == SaysNothing {
		return
	}
	var first []byte
	if t.w.plan.Knobs.Preface {
		from := address(t.number)
		first = fmt.Appendf(nil, "PROXY TCP4 203.0.113.%d 192.0.2.1 %d 80\r\n", 1+t.number/2, from.Port())
	}
	if t.w.plan.Knobs.ClientTLS {
		first = appendRecord(first, handshakeRecord, make([]byte, 200))
	}
	t.pace.head = len(first) + len(t.request())
	if len(first) > 0 {
		_, _ = s.Write(first) // there is room for it
	}
}

// drips sends a byte a second, and never the last.
func (t *talk) drips(b []byte) {
	if len(b) == 1 || t.client.gone() {
		return
	}
	t.client.writes(b[:1])
	t.w.after(time.Second, func() { t.drips(b[1:]) })
}

func (t *talk) key() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%016d", t.number))
}

func (t *talk) request() string {
	return padded("GET /" + strconv.Itoa(t.number) + " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + t.key() + "\r\n")
}

// padded ends a head, and makes its length a multiple of heapFrame.
func padded(head string) string {
	const field, end = "X-Pad: ", "\r\n\r\n"
	short := heapFrame - (len(head)+len(field)+len(end))%heapFrame
	return head + field + strings.Repeat("x", short) + end
}

// A caller is a connection to the service whose request has not come yet.
type caller struct {
	w    *World
	host *host
	s    *wire
	head []byte

	begun bool // the connection belongs to its conversation
}

func newService(w *World, s *kernel.Socket, h *host) {
	c := &caller{w: w, host: h, s: &wire{Socket: s, sealed: h.tls}}
	h.callers = append(h.callers, c)
	s.Notify = func() { w.after(0, c.reads) }
	w.after(0, c.reads)
	if h.ills[Crashes] > 0 { // since the connect began
		w.crashes(h)
	}
}

// leaves is called when the request has come, or when the connection has ended.
func (c *caller) leaves() {
	h := c.host
	h.callers = slices.DeleteFunc(h.callers, func(other *caller) bool { return other == c })
}

var endOfHead = []byte("\r\n\r\n")

func (c *caller) reads() {
	if c.s.Closed() || c.begun || c.host.ills[Hangs] > 0 {
		return
	}
	ended := c.looks()
	if end := bytes.Index(c.head, endOfHead); end >= 0 {
		c.begun = true
		c.leaves()
		c.begins(end + len(endOfHead))
		return
	}
	if ended {
		c.leaves()
		_ = c.s.Close()
	}
}

// looks reads what has come, and notes whose request it is. It reports whether the stream
// has ended.
func (c *caller) looks() (ended bool) {
	var b [4096]byte
	for !bytes.Contains(c.head, endOfHead) {
		n, err := c.s.Read(b[:], len(b))
		if n == 0 {
			ended = err != proxy.ErrAgain
			break
		}
		c.head = append(c.head, b[:n]...)
	}
	path, whole := bytes.CutPrefix(c.head, []byte("GET "))
	if path, _, found := bytes.Cut(path, []byte(" ")); whole && found {
		if t := c.w.talkOf(string(path)); t != nil {
			t.isAsked(c)
		}
	}
	return ended
}

// isAsked notes where bytes of the request have come. They come once.
func (t *talk) isAsked(c *caller) {
	if t.asked != nil && t.asked != c {
		t.w.fails("bytes of the request of client %d come to %v and to %v", t.number, t.asked.host.at, c.host.at)
	}
	t.asked = c
}

// begins hands the connection to its conversation.
func (c *caller) begins(end int) {
	line, _, _ := strings.Cut(string(c.head), "\r\n")
	i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(line, "GET /"), " HTTP/1.1"))
	if err != nil || i >= len(c.w.talks) {
		c.w.fails("the service is asked %q", line)
		return
	}
	t := c.w.talks[i]
	if t.service.s != nil {
		c.w.fails("the service is asked twice for client %d", i)
		return
	}
	if !bytes.Contains(c.head[:end], []byte("\r\nSec-WebSocket-Key: ")) || t.plan.Opening == AsksWrong || t.plan.Opening == AsksPage && !t.rejoins {
		c.w.fails("the service is asked for what must be refused: %q", c.head[:end])
	}
	if end < len(c.head) {
		c.w.fails("bytes of client %d came before the 101: %q", i, c.head[end:])
	}
	t.service.tells("is asked, connection %d", c.s.Number())
	t.service.connects(c.s)
	t.host = c.host
	request := string(c.head[:end])
	if t.plan.Opening == LeavesEarly { // the client leaves while it waits
		t.w.after(spread(t.w.choices, 2*time.Second), func() { t.answers(request) })
		return
	}
	t.answers(request)
}

func (t *talk) answers(request string) {
	key := t.key()
	for line := range strings.SplitSeq(request, "\r\n") {
		if v, is := strings.CutPrefix(line, "Sec-WebSocket-Key: "); is {
			key = v
		}
	}
	switch t.plan.Opening {
	case ServiceSilent:
		return
	case ServiceBabble:
		t.service.sendsInPieces([]byte("220 mail.example.com ESMTP\r\n\r\n"))
		return
	case ServiceRefuses:
		t.refuses()
		return
	case ServiceLeaves:
		t.service.leaves()
		return
	case ServiceResets:
		t.service.resets()
		return
	case ServiceWrong:
		key = "AAAAAAAAAAAAAAAAAAAAAA=="
	default: // it answers as it should
	}
	accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := padded("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(accept[:]) + "\r\n")
	if t.w.choices.IntN(4) == 0 {
		answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer
	}
	t.service.sendsInPieces([]byte(answer))
	if t.plan.Service.Early {
		t.service.saysEarly()
	}
	t.w.after(t.service.headOut-t.w.now, t.service.opens)
}

// answered: the client has got a whole head.
func (t *talk) answered(head string) {
	status, _, _ := strings.Cut(strings.TrimPrefix(head, "HTTP/1.1 "), " ")
	t.w.see("status " + status)
	t.client.tells("<- status %s", status)
	if status == "200" && t.plan.Opening == AsksPage {
		t.paged()
		return
	}
	if status != "101" {
		t.client.refused = true
		t.judgesRefusal(status, head)
		t.misses()
		if t.refusal != nil {
			t.refusal.got = []byte(head)
		}
		return
	}
	switch t.plan.Opening {
	case Opens, LeavesEarly:
	case AsksPage:
		if !t.rejoins {
			t.w.fails("client %d got a 101, and it has asked for a page", t.number)
		}
	default:
		t.w.fails("client %d got a 101, and its handshake was to fail: %d", t.number, t.plan.Opening)
	}
	t.opened = true
	t.judgesOpened()
	t.watches()
	t.awaitsOperator()
	t.client.opens()
}
