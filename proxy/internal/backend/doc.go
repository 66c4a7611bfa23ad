// Package backend is the service behind the proxy: where it is, what has been learnt
// of it, and how it is dialled. A Backend is shared by all who dial. No loop is in
// it: the event loops make their connections themselves, and time is an argument.
//
// The path of a dial, in call order:
//
//	Pick           which backend a request goes to           (pool.go)
//	Known, Lookup  its addresses                             (lookup.go)
//	Dial           one address after another                 (dial.go, order.go)
//	Learn          what the outcome says of the backend      (verdict.go)
//	probe          a backend that is down is tried           (health.go)
//
// Those beside the loops may block. For them Connect does it all from Known to the
// last Dial, and TLS as well (connect.go); Learn is still theirs to call.
//
// What is sent to a backend, and who may send it, is not this package's concern.
// Users know the service as the upstream, so log lines and metrics call it that.
package backend
