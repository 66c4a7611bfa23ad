// Package upgrade decides the opening handshake of RFC 6455: which request may
// go upstream, what that request says, and whether the upstream's answer makes
// a session. It reads all other requests, too, as far as their heads go, and
// tells which is which. It does no I/O and knows no clock; the caller collects
// a head's bytes and acts on what it is told.
//
// The path through it, in call order:
//
//	HeadEnd         a head is whole                          (head.go)
//	ParseRequest    its lines and fields, or a Refusal       (request.go)
//	WantsWebSocket  a handshake's, or plain HTTP             (request.go)
//	Request.Check   a WebSocket handshake, or a Refusal      (offer.go)
//	AppendRequest   the request for the upstream, rebuilt    (offer.go)
//	AppendTarget    its target, behind the upstream's path   (target.go)
//	Expects         what its answer is checked against       (answer.go)
//	CheckStart      the upstream's answer can be one         (response.go)
//	ParseResponse   its head                                 (response.go)
//	CheckAnswer     a right 101 to that very offer           (answer.go)
//	AppendResponse  the 101 for the client, rebuilt          (answer.go)
//
// Beside it stand extensions.go (what may be negotiated), drop.go (which fields of a
// handshake are not passed on), hop.go (which of other answers), loop.go (whether a
// request has passed the proxy before) and refusal.go (the answer that ends a handshake
// here). Package field has the grammar of fields and the table of their names.
//
// Request smuggling needs two readers of one message who disagree. So a request
// head has one reading or is refused, and neither peer is ever sent the other's
// head: both are written anew from parsed fields. Upstreams may be old; their
// heads are read as leniently as RFC 9112 lets a recipient be, as long as that
// leaves one reading.
//
// A request either wants a WebSocket and is held to the rules of the handshake,
// or is plain HTTP: a handshake that is wrong in some way never goes upstream as the
// latter, where it might still be answered with a 101 that nobody checks.
//
// Bodies and Origin policy are not its concern. Nor is more than the head of an answer
// other than a 101.
package upgrade
