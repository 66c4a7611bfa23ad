package upgrade

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"holdfast/internal/ascii"
	"holdfast/proxy/internal/field"
)

// Answer is an upstream's 101 that is right for its offer.
type Answer struct {
	Deflate bool // permessage-deflate was accepted
	Unasked bool // there is another subprotocol than one of those that the client asked for

	accept    [acceptLen]byte
	extension string // as spelled; none if empty
	fields    field.Fields
	named     []string // fields that Connection gives to this hop
}

// acceptLen is the length of a SHA-1 sum in base64.
const acceptLen = 28

// Expected is what an answer is checked against. It keeps nothing else of the request:
// answers may be long in coming.
type Expected struct {
	accept       [acceptLen]byte
	subprotocols field.Fields // the request's Sec-WebSocket-Protocol
	deflate      bool         // permessage-deflate was offered
}

// Expects returns what is expected of an answer to the offer.
func (o *Offer) Expects() *Expected {
	e := ExpectKey(o.key)
	e.deflate = len(o.deflate) > 0
	for value := range o.subprotocols() {
		// The value is copied, or the whole head would be kept for it.
		e.subprotocols = append(e.subprotocols, field.Field{Name: field.SecWebSocketProtocol, Value: strings.Clone(value)})
	}
	return e
}

// ExpectKey returns what is expected of an answer to a request that has this key and offers
// nothing.
func ExpectKey(key string) *Expected { return &Expected{accept: acceptOf(key)} }

// answerRules are what must be right in a 101. The first that is broken is told.
var answerRules = [...]func(*Answer, *Expected) error{
	(*Answer).checkConnection,
	(*Answer).checkAccept,
	(*Answer).checkExtensions,
}

// CheckAnswer decides whether a 101 is a right answer to the offer. Anything
// else must not become a session: one side would speak frames and the other
// HTTP. The error names the field at fault.
//
// Some rules of RFC 6455 4.1 protect nobody here, and old services break them. The
// version may be HTTP/1.0. Fields may speak of a body: a 101 has none, whatever they
// say, and nobody else is ever answered on its connection. The subprotocol is the
// client's to judge.
func (e *Expected) CheckAnswer(r *Response) (*Answer, error) {
	if r.Status != http.StatusSwitchingProtocols {
		return nil, fault("status line", "is not that of a 101")
	}
	a := &Answer{accept: e.accept, fields: r.Fields}
	for _, rule := range answerRules {
		if err := rule(a, e); err != nil {
			return nil, err
		}
	}
	a.Unasked = e.isUnasked(r.Fields)
	return a, nil
}

// fault says what is wrong with a 101, without quoting it.
func fault(name, why string) error { return fmt.Errorf("invalid 101: %s %s", name, why) }

func (a *Answer) checkConnection(*Expected) error {
	n := 0
	for protocol := range a.fields.Elements(field.Upgrade) {
		if n++; !ascii.EqualFold(protocol, "websocket") {
			return fault(field.Upgrade, "has another protocol than websocket")
		}
	}
	if n != 1 {
		return fault(field.Upgrade, "is missing or doubled")
	}
	if !a.fields.HasElement(field.Connection, "upgrade") {
		return fault(field.Connection, "has no upgrade")
	}
	var ok bool
	if a.named, ok = fromUpstream.named(a.fields); !ok {
		return fault(field.Connection, "has too many options")
	}
	return nil
}

func (a *Answer) checkAccept(*Expected) error {
	accept, n := a.fields.Single(field.SecWebSocketAccept)
	if n != 1 {
		return fault(field.SecWebSocketAccept, "is missing or doubled")
	}
	if accept != string(a.accept[:]) {
		return fault(field.SecWebSocketAccept, "does not belong to the key")
	}
	return nil
}

// isUnasked reports whether an answer has another subprotocol than one of those that the
// client asked for, or several fields of them. An empty field counts for nothing.
func (e *Expected) isUnasked(answer field.Fields) bool {
	n := 0
	for subprotocol := range subprotocols(answer) {
		if n++; n > 1 || !e.asked(subprotocol) {
			return true
		}
	}
	return false
}

func (e *Expected) asked(subprotocol string) bool {
	for each := range e.subprotocols.Elements(field.SecWebSocketProtocol) {
		if each == subprotocol {
			return true
		}
	}
	return false
}

func (a *Answer) checkExtensions(expected *Expected) error {
	for e, ok := range extensions(a.fields) {
		if !ok {
			return fault(field.SecWebSocketExtensions, "is malformed")
		}
		if err := a.takeExtension(&e, expected); err != nil {
			return err
		}
	}
	return nil
}

// takeExtension takes the only extension that an answer may have. Its parameters are
// between the peers: the proxy neither inflates nor deflates.
func (a *Answer) takeExtension(e *extension, expected *Expected) error {
	switch {
	case a.Deflate:
		return fault(field.SecWebSocketExtensions, "has more than one extension")
	case e.name != permessageDeflate || !expected.deflate:
		return fault(field.SecWebSocketExtensions, "has an extension that was not offered")
	}
	a.Deflate, a.extension = true, e.text
	return nil
}

// acceptOf computes the Sec-WebSocket-Accept for a key (RFC 6455 4.2.2). SHA-1 keeps no
// secret here: it shows that the server has read the key.
func acceptOf(key string) (accept [acceptLen]byte) {
	var buf [64]byte // on the stack, and large enough for both
	sum := sha1.Sum(append(append(buf[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	base64.StdEncoding.Encode(accept[:], sum[:])
	return accept
}

// AppendResponse rebuilds the 101 for the client. A length of 0 passes, since some clients
// depend on it: it says what every 101 means.
func (a *Answer) AppendResponse(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\n"...)
	dst = field.Append(dst, field.Upgrade, "websocket")
	dst = field.Append(dst, field.Connection, field.Upgrade)
	dst = field.Append(dst, field.SecWebSocketAccept, string(a.accept[:]))
	for subprotocol := range subprotocols(a.fields) {
		dst = field.Append(dst, field.SecWebSocketProtocol, subprotocol)
	}
	if a.Deflate {
		dst = field.Append(dst, field.SecWebSocketExtensions, a.extension)
	}
	for _, f := range a.fields {
		if fromUpstream.passes(f.Name, a.named) || isNoLength(f) {
			dst = field.Append(dst, f.Name, f.Value)
		}
	}
	return append(dst, "\r\n"...)
}

// isNoLength reports whether a field says that a body has no byte.
func isNoLength(f field.Field) bool {
	return f.Value == "0" && ascii.EqualFold(f.Name, field.ContentLength)
}
