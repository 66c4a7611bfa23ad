// Package secure is TLS for an event loop: crypto/tls over a non-blocking
// descriptor, without a goroutine while nothing happens.
//
// crypto/tls reads and writes a net.Conn and keeps its state when that answers
// a read with a temporary error. So here it has a net.Conn of ours (wire.go),
// which never waits: what it reads has been received before (read.go), what it
// writes is sent afterwards (write.go). The handshake cannot be interrupted in
// that way; for it, and for connections that net/http is to have, the descriptor
// is detached: it is lent to the runtime's own poller, and the same net.Conn
// waits there like any other.
//
// The path of a connection:
//
//	Server or Client → Handshake, in a goroutine → Adopt → Read, Write … → Close
//	                                        ↑        ↓
//	                                     Attach ← Detach → net/http
//
// A Conn has one owner at a time: the goroutine of its Handshake, the loop that
// adopted it, or whoever holds the net.Conn that Detach returned. Abort alone
// may be called by others. The package is not for renegotiation, which is a
// handshake in the middle: leave tls.Config.Renegotiation as it is, off.
package secure
