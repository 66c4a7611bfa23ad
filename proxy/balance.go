package proxy

import "holdfast/proxy/internal/backend"

// A Balance is the rule by which a request gets its target, among those that are up.
type Balance = backend.Balance

// What a Balance looks at.
const (
	LeastSessions = backend.LeastSessions // of two targets drawn at random, the one with fewer sessions
	RoundRobin    = backend.RoundRobin    // one after another
	HashIP        = backend.HashIP        // the client's address; an IPv6 /64 is one address
	HashHeader    = backend.HashHeader    // a header field; without it, the client's address
	HashCookie    = backend.HashCookie    // a cookie; without it, the client's address
)
