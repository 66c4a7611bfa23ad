package proxy

// A Balance is the rule by which a request gets its target, among those that are up.
type Balance struct {
	By BalanceBy
	// Name is the field or the cookie whose value is hashed.
	Name string
}

// BalanceBy is what a Balance looks at.
type BalanceBy uint8

const (
	LeastSessions BalanceBy = iota // of two targets drawn at random, the one with fewer sessions
	RoundRobin                     // one after another
	HashIP                         // the client's address; an IPv6 /64 is one address
	HashHeader                     // a header field; without it, the client's address
	HashCookie                     // a cookie; without it, the client's address
)
