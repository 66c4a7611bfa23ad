// Package backend is the service behind the proxy: where it is, how it is dialled, and
// what is known about it. All who dial share a Backend. The package knows no event loop:
// the loops make their connections themselves, and time is an argument.
//
// The path of a dial, in call order:
//
//	Pick           which backend a request goes to           (pool.go)
//	Known, Lookup  the backend's addresses                   (lookup.go)
//	Dial           one address after another                 (dial.go, order.go)
//	Learn          what the outcome says about the backend   (verdict.go)
//	Watch          checks it while nobody dials, or it is down (health.go, get.go, answer.go)
//
// A goroutine beside the loops may block. Connect does for it everything from Known to
// the last Dial, and the TLS handshake as well (connect.go). The caller still calls
// Learn.
//
// The package does not decide what is sent to a backend, nor who may send it. Users know
// the service as the upstream, so log lines and metrics call it that.
package backend
