package upgrade

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"holdfast/internal/ascii"
	"holdfast/proxy/internal/field"
)

// Answer is an upstream's 101 that is right for its offer.
type Answer struct {
	Deflate     bool   // permessage-deflate was accepted
	Subprotocol string // none if empty

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
	accept        [acceptLen]byte
	subprotocols  []string
	deflate       bool // permessage-deflate was offered
	deflateParams deflateParams
}

// Expects returns what is expected of an answer to the offer.
func (o *Offer) Expects() *Expected {
	subprotocols := slices.Clone(o.subprotocols)
	for i := range subprotocols {
		subprotocols[i] = strings.Clone(subprotocols[i]) // or the whole head would be kept for it
	}
	return &Expected{
		accept:        acceptOf(o.key),
		subprotocols:  subprotocols,
		deflate:       len(o.deflate) > 0,
		deflateParams: o.deflateParams,
	}
}

// answerRules are what RFC 6455 4.1 asks of a 101. The first that is broken is told.
var answerRules = [...]func(*Answer, *Expected) error{
	(*Answer).checkConnection,
	(*Answer).checkBody,
	(*Answer).checkAccept,
	(*Answer).checkSubprotocol,
	(*Answer).checkExtensions,
}

// CheckAnswer decides whether a 101 is a right answer to the offer. Anything
// else must not become a session: one side would speak frames and the other
// HTTP. The error names the field at fault.
func (e *Expected) CheckAnswer(r *Response) (*Answer, error) {
	if r.Status != http.StatusSwitchingProtocols || r.Minor != 1 {
		return nil, fault("status line", "is not HTTP/1.1 101")
	}
	a := &Answer{accept: e.accept, fields: r.Fields}
	for _, rule := range answerRules {
		if err := rule(a, e); err != nil {
			return nil, err
		}
	}
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
		return fault(field.Connection, "is not a list of options, or too long")
	}
	return nil
}

// checkBody: a 101 has neither field (RFC 9110 8.6, RFC 9112 6.1). A length of 0
// is forgiven, since it says what a 101 means anyhow.
func (a *Answer) checkBody(*Expected) error {
	for length := range a.fields.Values(field.ContentLength) {
		if length != "0" {
			return fault(field.ContentLength, "is not 0")
		}
	}
	if a.fields.Count(field.TransferEncoding) > 0 {
		return fault(field.TransferEncoding, "is not allowed in a 101")
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

// checkSubprotocol takes an empty value, which some servers send, for none.
func (a *Answer) checkSubprotocol(expected *Expected) error {
	subprotocol, n := a.fields.Single(field.SecWebSocketProtocol)
	if n > 1 {
		return fault(field.SecWebSocketProtocol, "is doubled")
	}
	if subprotocol != "" && !slices.Contains(expected.subprotocols, subprotocol) {
		return fault(field.SecWebSocketProtocol, "was not offered")
	}
	a.Subprotocol = subprotocol
	return nil
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

// takeExtension takes the only extension that an answer may have.
func (a *Answer) takeExtension(e *extension, expected *Expected) error {
	switch {
	case a.Deflate:
		return fault(field.SecWebSocketExtensions, "has more than one extension")
	case e.name != permessageDeflate || !expected.deflate:
		return fault(field.SecWebSocketExtensions, "has an extension that was not offered")
	case !e.isAnswer():
		return fault(field.SecWebSocketExtensions, "has an illegal parameter")
	case e.params&^expected.deflateParams&clientMaxWindowBits != 0: // RFC 7692 7.1.2.2
		return fault(field.SecWebSocketExtensions, "has client_max_window_bits, which was not offered")
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

// AppendResponse rebuilds the 101 for the client.
func (a *Answer) AppendResponse(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\n"...)
	dst = field.Append(dst, field.Upgrade, "websocket")
	dst = field.Append(dst, field.Connection, field.Upgrade)
	dst = field.Append(dst, field.SecWebSocketAccept, string(a.accept[:]))
	if a.Subprotocol != "" {
		dst = field.Append(dst, field.SecWebSocketProtocol, a.Subprotocol)
	}
	if a.Deflate {
		dst = field.Append(dst, field.SecWebSocketExtensions, a.extension)
	}
	for _, f := range a.fields {
		if fromUpstream.passes(f.Name, a.named) {
			dst = field.Append(dst, f.Name, f.Value)
		}
	}
	return append(dst, "\r\n"...)
}
