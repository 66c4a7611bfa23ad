// Package backend is the service behind the proxy: where it is, how it is dialled, and
// what is known about it. All who dial share a Pool. The pool has a Backend for each
// upstream, and a backend has a Target for each address that its name leads to. The package
// knows no event loop: the loops make their connections themselves, and time is an argument.
//
// The path of a request to a target, in call order:
//
//	Route   begins the way of one request                (route.go)
//	Next    which target to try next, by the rule        (balance.go)
//	Await   waits for a lookup, if there is no target    (lookup.go)
//	Share   how long to try the target
//	Missed  what a failure says about the target         (verdict.go)
//	Learn   what a dial that comes through says about it
//	Err     why all targets have failed
//
// Beside that, from Watch on:
//
//	lookAgain  finds the addresses that come and go      (lookup.go, backend.go)
//	check      finds out whether a target works          (health.go, get.go, answer.go)
//	publish    makes the list of targets that are in use (pool.go)
//
// A goroutine beside the loops may block. Connect does for it what a loop does for a
// handshake from Share to the connection, the TLS handshake included (connect.go).
//
// Locks are taken in this order: a target's state, the pool's list, a backend's targets.
//
// The package does not decide what is sent to a target, nor who may send it. Users know
// the services as upstreams, so log lines and metrics call them that.
package backend
