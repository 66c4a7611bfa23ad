// Package secure is TLS for an event loop: crypto/tls over a non-blocking descriptor,
// without a goroutine while nothing happens.
//
// crypto/tls reads and writes a net.Conn, and keeps its state when a read returns a
// temporary error. So it gets a net.Conn of ours (wire.go), which never waits: what it
// reads was received before (read.go), and what it writes is sent afterwards (write.go).
// A handshake cannot be interrupted in that way. For a handshake, and for a connection
// that net/http uses, the descriptor is lent to the runtime's own poller, and the same
// net.Conn waits there like any other.
//
// The path of a connection:
//
//	Server or Client → Handshake, in a goroutine → Adopt → Read, Write … → Close
//	                                        ↑        ↓
//	                                     Attach ← Detach → net/http
//
// A Conn has one owner at a time: the goroutine of its Handshake, the loop that adopted
// it, or the user of the net.Conn that Detach returned. Only Abort may be called by
// others. The package does not support renegotiation, which is a handshake inside the
// stream: leave tls.Config.Renegotiation off, its default.
package secure
