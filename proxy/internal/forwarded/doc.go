// Package forwarded decides who a request came from, and how the upstream is
// told. It does no I/O.
//
// A trusted peer's X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and
// Forwarded (RFC 7239) are believed and extended. Those of anybody else are replaced.
// X-Real-IP is always replaced: it has the one address that the proxy takes for the
// client's. A trusted peer's counts only if no other field names a client.
//
// The path through it, in call order:
//
//	Resolve         who the client is                  (trust.go)
//	hear            what a trusted peer says           (account.go)
//	parseNode       one station of a request's way     (node.go)
//	parseForwarded  RFC 7239's field                   (element.go)
//	tell            the fields for the upstream        (tell.go)
//
// What may stand in a value is said by packages field and hostport: nothing else ever
// goes upstream.
//
// # When fields disagree
//
// Most proxies know X-Forwarded-For and pass Forwarded on as the client sent
// it. So X-Forwarded-For decides who the client is, and a trusted peer's
// Forwarded counts only if it names the same addresses, or if there is no
// X-Forwarded-For. Otherwise, and if it is missing or malformed, it is made
// of the X- fields: an upstream is told the same whichever it reads. Its grammar
// is held to: addresses with a colon stand in quotes.
package forwarded
