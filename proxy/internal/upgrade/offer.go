package upgrade

import (
	"cmp"
	"iter"
	"net/http"
	"strings"

	"holdfast/proxy/internal/field"
)

// Offer is a WebSocket opening handshake that may go upstream.
type Offer struct {
	request *Request
	key     string
	deflate []string // the offers of permessage-deflate, as spelled
	named   []string // fields that Connection gives to this hop
}

// offerRules are what RFC 6455 4.2.1 and this proxy ask of a handshake. The first
// that is broken decides the answer.
var offerRules = [...]func(*Offer) *Refusal{
	(*Offer).checkHTTP,
	(*Offer).checkTarget,
	(*Offer).checkMethod,
	(*Offer).checkUpgrade,
	(*Offer).checkConnection,
	(*Offer).checkVersion,
	(*Offer).checkKey,
	(*Offer).checkBody,
	(*Offer).checkExpect,
	(*Offer).checkOrigin,
}

// Check decides whether the request is a WebSocket opening handshake that may
// go upstream.
func (r *Request) Check() (*Offer, *Refusal) {
	o := &Offer{request: r}
	for _, rule := range offerRules {
		if refusal := rule(o); refusal != nil {
			return nil, refusal
		}
	}
	o.takeExtensions()
	return o, nil
}

// checkHTTP: RFC 9110 7.8 has an Upgrade in HTTP/1.0 ignored.
func (o *Offer) checkHTTP() *Refusal {
	if o.request.Minor == 0 {
		return badRequest("HTTP/1.0 has no Upgrade; WebSocket needs HTTP/1.1.")
	}
	return nil
}

// checkTarget: a handshake is for a resource (RFC 6455 4.1).
func (o *Offer) checkTarget() *Refusal {
	if o.request.isAsterisk() {
		return refuseTarget
	}
	return nil
}

func (o *Offer) checkMethod() *Refusal {
	if o.request.Method != http.MethodGet {
		return refuse(http.StatusMethodNotAllowed, "A WebSocket handshake is a GET.", field.Field{Name: "Allow", Value: "GET"})
	}
	return nil
}

func (o *Offer) checkUpgrade() *Refusal {
	if !o.request.WantsWebSocket() {
		return refuseUpgrade("This is a WebSocket service, and the request asks for no Upgrade to websocket.")
	}
	return nil
}

// refuseUpgrade answers 426, which must say what to upgrade to (RFC 9110 15.5.22).
func refuseUpgrade(reason string, header ...field.Field) *Refusal {
	return refuse(http.StatusUpgradeRequired, reason, append(header, field.Field{Name: field.Upgrade, Value: "websocket"})...)
}

func (o *Offer) checkConnection() *Refusal {
	if !o.request.Fields.HasElement(field.Connection, "upgrade") {
		return badRequest("The request has Upgrade, but its Connection does not say so.")
	}
	var ok bool
	if o.named, ok = fromClient.named(o.request.Fields); !ok {
		return badRequest("The request's Connection has too many options.")
	}
	return nil
}

// checkVersion refuses here what an upstream would answer with 426. A proxy that took
// such a handshake for done would pass on any request that the client sends next.
func (o *Offer) checkVersion() *Refusal {
	if version, n := o.request.Fields.Single(field.SecWebSocketVersion); n != 1 || version != "13" {
		return refuseUpgrade("The request's Sec-WebSocket-Version is not 13.",
			field.Field{Name: field.SecWebSocketVersion, Value: "13"}) // RFC 6455 4.4
	}
	return nil
}

// checkKey leaves it to the upstream whether the key is 16 bytes in base64. A proxy in
// front may have joined two keys with a comma, which no key has.
func (o *Offer) checkKey() *Refusal {
	key, n := o.request.Fields.Single(field.SecWebSocketKey)
	if n != 1 || key == "" || strings.Contains(key, ",") {
		return badRequest("The request's Sec-WebSocket-Key is missing, empty or doubled.")
	}
	o.key = key
	return nil
}

// checkBody: one side would read a body as frames, and the other as a body.
func (o *Offer) checkBody() *Refusal {
	length, n := o.request.Fields.Single(field.ContentLength)
	if n > 0 && length != "0" || o.request.Fields.Count(field.TransferEncoding) > 0 {
		return badRequest("A WebSocket handshake has no body.")
	}
	return nil
}

func (o *Offer) checkExpect() *Refusal {
	if o.request.Fields.Count(field.Expect) > 0 {
		return refuse(http.StatusExpectationFailed, "A WebSocket handshake has no body to expect anything of.")
	}
	return nil
}

func (o *Offer) checkOrigin() *Refusal {
	if o.request.Fields.Count(field.Origin) > 1 {
		return badRequest("The request has more than one Origin.")
	}
	return nil
}

// subprotocols walks the values of the request's Sec-WebSocket-Protocol. They are between
// the peers, and some are not tokens: JWTs with padding, URLs.
func (o *Offer) subprotocols() iter.Seq[string] { return subprotocols(o.request.Fields) }

// subprotocols walks the values of Sec-WebSocket-Protocol that are not empty.
func subprotocols(fields field.Fields) iter.Seq[string] {
	return func(yield func(string) bool) {
		for value := range fields.Values(field.SecWebSocketProtocol) {
			if value != "" && !yield(value) {
				return
			}
		}
	}
}

// takeExtensions keeps the offers that can be negotiated through, and leaves out the
// others: a server may decline any offer. What follows a malformed offer is left out with
// it, since it is in doubt where that offer ends.
func (o *Offer) takeExtensions() {
	for e, ok := range extensions(o.request.Fields) {
		if ok && e.isOffer() {
			o.deflate = append(o.deflate, e.text)
		}
	}
}

// LeaveOutCompression makes the request offer no permessage-deflate.
func (o *Offer) LeaveOutCompression() { o.deflate = nil }

// Via is what the proxy has to say about the way of a request.
type Via struct {
	// Prefix is the path of the upstream: see AppendTarget.
	Prefix string
	// Host is sent instead of the client's; empty means the client's.
	Host string
	// Fields are the proxy's own. Of several of one name the last counts. What the
	// client sent under these names is dropped. None of them may be one that the
	// handshake states itself.
	Fields field.Fields
	// Name is the proxy's in CDN-Loop; none if it is empty.
	Name string
	// Believed says that the client is a trusted proxy, whose X-Forwarded-* pass;
	// of others they are dropped. X-Forwarded-For, X-Forwarded-Proto,
	// X-Forwarded-Host and Forwarded are the proxy's own in any case.
	Believed bool
}

// AppendRequest rebuilds the request for the upstream from parsed fields:
// nothing of the client's head is copied unread.
func (o *Offer) AppendRequest(dst []byte, via Via) []byte {
	dst = append(dst, "GET "...)
	dst = AppendTarget(dst, via.Prefix, o.request.Target)
	dst = append(dst, " HTTP/1.1\r\n"...)
	dst = field.Append(dst, field.Host, cmp.Or(via.Host, o.request.Fields.Get(field.Host)))
	dst = field.Append(dst, field.Upgrade, "websocket")
	dst = field.Append(dst, field.Connection, field.Upgrade)
	dst = field.Append(dst, field.SecWebSocketKey, o.key)
	dst = field.Append(dst, field.SecWebSocketVersion, "13")
	for subprotocol := range o.subprotocols() {
		dst = field.Append(dst, field.SecWebSocketProtocol, subprotocol)
	}
	dst = appendList(dst, field.SecWebSocketExtensions, o.deflate)
	for _, f := range o.request.Fields {
		if fromClient.passes(f.Name, o.named) && !via.drops(f.Name) {
			dst = field.Append(dst, f.Name, f.Value)
		}
	}
	for i, f := range via.Fields {
		if !via.Fields[i+1:].HasAlias(f.Name) {
			dst = field.Append(dst, f.Name, f.Value)
		}
	}
	if via.Name != "" {
		dst = field.Append(dst, field.CDNLoop, via.Name)
	}
	return append(dst, "\r\n"...)
}

// drops reports whether a client's field is the proxy's to state, or not to be
// believed.
func (v *Via) drops(name string) bool {
	return !field.PassesTrust(name, v.Believed) || v.Fields.HasAlias(name)
}

// appendList appends a field with all elements, or nothing if there are none.
func appendList(dst []byte, name string, elements []string) []byte {
	if len(elements) == 0 {
		return dst
	}
	dst = append(dst, name...)
	separator := ": "
	for _, element := range elements {
		dst = append(dst, separator...)
		dst = append(dst, element...)
		separator = ", "
	}
	return append(dst, "\r\n"...)
}
