// Package backend is the services behind the proxy: where they are, which of them a
// request goes to, how they are dialled, and what is known about them. All who dial share
// a Pool. The package knows no event loop: the loops make their connections themselves,
// and time is an argument.
//
// A Pool has Backends: the upstreams of the configuration. A Backend has Targets: the
// addresses that its name leads to, or its one address. The path of a request, in call
// order:
//
//	Route   begins it, with what is hashed for the request   (route.go, balance.go)
//	Next    chooses a target, of those that are up           (route.go, balance.go)
//	Await   waits for addresses, if none are known           (pool.go, lookup.go)
//	Share   how much of the time the target gets             (route.go)
//	Missed  what a failed dial says about the target, and then Next again (verdict.go)
//	Learn   the same for a dial that came through            (verdict.go)
//
// Beside that, Watch checks the targets (health.go, get.go, answer.go) and looks names up
// again (lookup.go). backend.go makes targets of addresses.
//
// A goroutine beside the loops may block. Connect does for it everything between Share and
// Missed, and the TLS handshake as well (connect.go).
//
// The package does not decide what is sent to a target, nor who may send it. Users know
// the services as upstreams, so log lines and metrics call them that.
package backend
