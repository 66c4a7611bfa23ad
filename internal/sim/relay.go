package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A refusal is an answer of the service that the proxy passes on, and what has come of it.
type refusal struct {
	status int
	body   []byte
	got    []byte // by the client, from the head on
}

// The framings of a body.
const (
	byLength = iota
	chunked
	untilTheEnd
	framings
)

// refuses answers a handshake with an error.
func (t *talk) refuses() {
	rnd := t.w.choices
	r := &refusal{status: oneOf(rnd, 200, 301, 403, 404, 426, 500, 204)}
	if r.status != 204 {
		r.body = bytes.Repeat([]byte{byte('a' + t.number)}, rnd.IntN(oneOf(rnd, 1, 500, 200_000)))
	}
	t.refusal = r
	head := fmt.Sprintf("HTTP/1.1 %d Whatever\r\nX-Service: yes\r\n", r.status)
	body := r.body
	framing := rnd.IntN(framings)
	if r.status == 204 {
		framing = untilTheEnd // there is none
	}
	switch framing {
	case byLength:
		head += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	case chunked:
		head += "Transfer-Encoding: chunked\r\n"
		body = inChunks(body)
	case untilTheEnd:
		t.w.after(time.Second, t.service.halvesWhenWritten)
	}
	t.service.sendsInPieces(append([]byte(head+"\r\n"), body...))
}

// inChunks is a body in two chunks.
func inChunks(body []byte) []byte {
	var b []byte
	for _, part := range [][]byte{body[:len(body)/2], body[len(body)/2:]} {
		if len(part) > 0 {
			b = fmt.Appendf(b, "%x\r\n%s\r\n", len(part), part)
		}
	}
	return append(b, "0\r\n\r\n"...)
}

// wantsRefusal checks what a client has got of its service's refusal when its stream ends.
func (t *talk) wantsRefusal() {
	r := t.refusal
	if r == nil || !strings.Contains(string(r.got), "X-Service: yes") {
		return // it is an answer of the proxy's own
	}
	t.w.see("refusal passed on")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.got)), &http.Request{Method: http.MethodGet})
	if err != nil {
		t.w.fails("client %d cannot read its refusal: %v", t.number, err)
		return
	}
	body, err := io.ReadAll(resp.Body)
	f := &t.w.plan.Faults
	whole := t.prompt && f.Stopped == 0 && !t.w.stopping && !t.faulty &&
		int64(len(r.body)) < t.w.plan.passesIn(t.w.plan.Knobs.HandshakeTimeout/8)
	switch {
	case resp.StatusCode != r.status || !bytes.HasPrefix(r.body, body):
		t.w.fails("client %d gets a refusal with status %d and %d bytes, and the service has sent %d and %d others", t.number, resp.StatusCode, len(body), r.status, len(r.body))
	case whole && (err != nil || len(body) < len(r.body)):
		t.w.fails("client %d gets %d of %d bytes of its refusal: %v", t.number, len(body), len(r.body), err)
	}
}
