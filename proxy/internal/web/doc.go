// Package web passes on requests that are not a WebSocket upgrade. It stands on
// net/http's server and transport and on httputil.ReverseProxy, and makes of
// them a proxy that changes as little as it can: any method, bodies and trailers
// in both directions as they come, interim responses, event streams, long polls.
//
// The path of a request, in call order:
//
//	Serve      a connection, with what was read of it   (server.go, guest.go)
//	handle     a request, read again strictly           (request.go, head.go)
//	handOver   an upgrade: the connection goes back     (upgrade.go)
//	pass       anything else goes to the upstream       (passage.go)
//	rewrite    what the upstream is asked               (passage.go, fields.go, body.go)
//	spelling   fields keep the names that peers give them (spelling.go)
//	progress   the request ends if nothing moves        (progress.go)
//	waits      net/http's own waits have a deadline     (waits.go)
//	RoundTrip  on a connection of its own               (transport.go, firstlines.go)
//	heads      the answer's heads, read strictly first  (heads.go)
//	reply      what the client is answered              (reply.go, trailer.go)
//
// net/http reads heads more leniently than package upgrade, which has read the
// first one of each connection. So the head of every request is written anew from
// what net/http understood and must pass upgrade.ParseRequest, too; what goes
// upstream is made from that. net/http repairs some framing that the first request
// of a connection would be refused for: it unfolds fields, takes a bare LF for a
// line's end, and prefers Transfer-Encoding to a Content-Length beside it. The upstream
// sees the repaired request, and after one with Transfer-Encoding nothing else is taken
// from the connection (RFC 9112 6.1).
//
// A connection to the upstream is for one request. net/http would give it to the
// next before it looks at what the upstream has sent behind its answer. A client
// could then be shown the answer to another client's request.
//
// A connection that waits for its next request is closed when another client needs the
// room (idle.go). Either the connection is closed, or the request is passed on. A head
// that has begun has its time, and a 408 after it (guest.go).
//
// A client that ends its direction counts as gone, as with net/http: its request is
// given up (watch_linux.go).
//
// TRACE is refused: its answer would show the client the fields that were added
// for the upstream alone. So is CONNECT: this is not a forward proxy.
//
// Sessions, and whether a client may have one, are not its concern.
package web
