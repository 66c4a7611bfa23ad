package field

import "strings"

// Names of fields that the proxy reads or writes.
const (
	CDNLoop                = "CDN-Loop"
	Connection             = "Connection"
	ContentLength          = "Content-Length"
	Expect                 = "Expect"
	Forwarded              = "Forwarded"
	Host                   = "Host"
	Origin                 = "Origin"
	SecWebSocketAccept     = "Sec-WebSocket-Accept"
	SecWebSocketExtensions = "Sec-WebSocket-Extensions"
	SecWebSocketKey        = "Sec-WebSocket-Key"
	SecWebSocketProtocol   = "Sec-WebSocket-Protocol"
	SecWebSocketVersion    = "Sec-WebSocket-Version"
	Trailer                = "Trailer"
	TransferEncoding       = "Transfer-Encoding"
	Upgrade                = "Upgrade"
	XForwardedFor          = "X-Forwarded-For"
	XForwardedHost         = "X-Forwarded-Host"
	XForwardedProto        = "X-Forwarded-Proto"
	XRealIP                = "X-Real-IP"
)

// Properties of a name. They say where a field of that name passes, and who may set it.
type Properties uint8

const (
	// Hop fields concern one connection, whether Connection names them or not (RFC 9110
	// 7.6.1), or frame a body. They are not passed on.
	Hop Properties = 1 << iota
	// Framing fields are those of the Hop fields that frame a body. In the answer to a
	// request that is not an upgrade they stay, since its body passes as it is.
	Framing
	// Negotiated fields are those of the Hop fields that pass with a request that is not
	// an upgrade. A handshake has no body for which anything could be negotiated.
	Negotiated
	// Own fields are the proxy's to state in a request to the upstream, or nobody's. A
	// client's are not passed on.
	Own
	// Handshake fields are stated anew in each request and answer of a handshake. With a
	// request that is not an upgrade, and with the answer that refuses one, they pass:
	// they mean nothing there, or tell the client which version to try. Connection and
	// Upgrade are Hop fields: wherever they are needed they are stated anew.
	Handshake
	// Vouched fields tell who the client is. They pass from a trusted proxy alone: see
	// PassesTrust.
	Vouched
	// Reserved fields cannot be set by an operator.
	Reserved
	// NoTrailer fields may not stand in a trailer (RFC 9110 6.5.1): a recipient may merge
	// it into the header, where these fields say how to read, keep or follow a message,
	// under which conditions to act on it, or who sent it.
	NoTrailer
)

// Has reports whether one of the properties is there.
func (p Properties) Has(one Properties) bool { return p&one != 0 }

// row is a name with its properties.
type row struct {
	name       string
	properties Properties
}

const (
	hop = Hop | Reserved | NoTrailer
	own = Own | Reserved | NoTrailer
)

// names are the rows of single names. All that are not here, nor in families, pass
// everywhere.
var names = [...]row{
	{Connection, hop},
	{ContentLength, hop | Framing},
	{"HTTP2-Settings", hop},
	{"Keep-Alive", hop},
	{"Proxy-Authenticate", hop},
	{"Proxy-Authorization", hop},
	{"Proxy-Connection", hop},
	// httputil.ReverseProxy leaves of a client's TE what it can keep: trailers.
	{"TE", hop | Negotiated},
	{Trailer, hop},
	{TransferEncoding, hop | Framing},
	{Upgrade, hop},

	{Forwarded, own},
	{Host, own},
	{XForwardedFor, own},
	{XForwardedHost, own},
	{XForwardedProto, own},
	{XRealIP, own},

	// No request has a use for it. CGI makes HTTP_PROXY of it, which many programs take for
	// the address of the proxy that they are to use.
	{"Proxy", own},

	// Each proxy adds its name to those before (RFC 8586), so a client's passes.
	{CDNLoop, Reserved | NoTrailer},

	// A client's Expect passes: it speaks of that request's body. An operator's would be
	// in all requests, handshakes among them, which have none.
	{Expect, Reserved | NoTrailer},

	{"Age", NoTrailer},
	{"Authorization", NoTrailer},
	{"Cache-Control", NoTrailer},
	{"Content-Encoding", NoTrailer},
	{"Content-Range", NoTrailer},
	{"Content-Type", NoTrailer},
	{"Cookie", NoTrailer},
	{"Date", NoTrailer},
	{"Expires", NoTrailer},
	{"If-Match", NoTrailer},
	{"If-Modified-Since", NoTrailer},
	{"If-None-Match", NoTrailer},
	{"If-Range", NoTrailer},
	{"If-Unmodified-Since", NoTrailer},
	{"Location", NoTrailer},
	{"Max-Forwards", NoTrailer},
	{Origin, NoTrailer},
	{"Pragma", NoTrailer},
	{"Range", NoTrailer},
	{"Retry-After", NoTrailer},
	{"Set-Cookie", NoTrailer},
	{"Vary", NoTrailer},
	{"WWW-Authenticate", NoTrailer},
}

// families are the rows of all names that begin alike.
var families = [...]row{
	{"Sec-WebSocket-", Handshake | Reserved | NoTrailer},
	// An operator may state those that the proxy does not: X-Forwarded-Port, for example.
	{"X-Forwarded-", Vouched},
}

// byLength holds the rows of names by the length of the name.
var byLength = func() (rows [len("If-Unmodified-Since") + 1][]row) {
	for _, r := range names {
		rows[len(r.name)] = append(rows[len(r.name)], r)
	}
	return rows
}()

// Of returns the properties of a name or alias.
func Of(name string) Properties {
	p := find(name).properties
	for i := range families {
		if hasAliasPrefix(name, families[i].name) {
			p |= families[i].properties
		}
	}
	return p
}

// find returns the row of a name or alias in names, or none.
func find(name string) row {
	if len(name) >= len(byLength) {
		return row{}
	}
	for _, r := range byLength[len(name)] {
		if isAlias(name, r.name) {
			return r
		}
	}
	return row{}
}

// PassesTrust reports whether a client's field may pass as far as trust decides about it.
// believed says whether the client is a trusted proxy. Such a proxy spells X-Forwarded-*
// with hyphens; an underscore is how somebody behind it would get around it.
func PassesTrust(name string, believed bool) bool {
	return !Of(name).Has(Vouched) || believed && !strings.Contains(name, "_")
}
