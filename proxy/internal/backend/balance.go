package backend

import (
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"strings"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/peraddress"
	"holdfast/proxy/internal/upgrade"
)

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

// key returns what is hashed for a request: the same for all requests that go together.
func (b Balance) key(r *upgrade.Request, client netip.Addr) uint64 {
	value := ""
	switch b.By {
	case HashHeader:
		value = strings.Join(slices.Collect(r.Fields.Values(b.Name)), ",")
	case HashCookie:
		value = cookie(r, b.Name)
	case HashIP:
	case LeastSessions, RoundRobin:
		return 0
	}
	if value == "" {
		value = peraddress.Account(client).String()
	}
	return hash(value)
}

// cookie returns the value of the first cookie of a name, or "".
func cookie(r *upgrade.Request, name string) string {
	for line := range r.Fields.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if key, value, _ := strings.Cut(strings.TrimSpace(pair), "="); key == name {
				return value
			}
		}
	}
	return ""
}

// hash returns the same for the same string in every process, so that several proxies
// agree.
func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // it never fails
	return mix(h.Sum64())
}

// mix spreads the bits of x. It is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// choose returns the target that a request goes to, of those that fit, or nil if none
// does. While a target's weight is less than that of the others, it gets as much less of
// what the rule would give it. kind is what the request is to its target.
func (p *Pool) choose(fits func(*Target) bool, key uint64, kind turnKind, now heartbeat.Time) *Target {
	all := *p.targets.Load()
	switch p.cfg.Balance.By {
	case LeastSessions:
		return p.fewer(all, fits, now)
	case RoundRobin:
		return p.inTurn(all, fits, kind, now)
	case HashIP, HashHeader, HashCookie:
	}
	return highest(all, fits, key, now)
}

// nth returns the target of that index among those that fit.
func nth(all []*Target, fits func(*Target) bool, index int) *Target {
	for _, t := range all {
		if !fits(t) {
			continue
		}
		if index == 0 {
			return t
		}
		index--
	}
	return nil // a target has changed meanwhile
}

// fewer returns the one with fewer sessions of two targets that are drawn at random. Two
// are enough to keep the largest number near the mean, and proxies that do not know of each
// other do not all choose the same one, as they would if each chose the least of all.
func (p *Pool) fewer(all []*Target, fits func(*Target) bool, now heartbeat.Time) *Target {
	n := 0
	for _, t := range all {
		if fits(t) {
			n++
		}
	}
	if n < 2 {
		return nth(all, fits, 0)
	}
	i, j := p.below(n), p.below(n-1)
	if j >= i {
		j++
	}
	a, b := nth(all, fits, i), nth(all, fits, j)
	switch {
	case a == nil || b == nil:
		return nth(all, fits, 0)
	case b.load.Load() < a.load.Load():
		a, b = b, a
	}
	if p.chance(a.appeal(now) / b.appeal(now)) {
		return a
	}
	return b
}

// A turnKind tells requests apart that have their own turns under RoundRobin. So a target
// that fails takes no turn away from others, and what it leaves to them is shared evenly.
type turnKind uint8

const (
	begins    turnKind = iota // the request begins with the target
	goesOn                    // the request goes on to it after another one has failed
	turnKinds = iota
)

// inTurn returns the target that has had the fewest turns. A target of less weight lets
// some of its turns pass.
func (p *Pool) inTurn(all []*Target, fits func(*Target) bool, kind turnKind, now heartbeat.Time) *Target {
	p.turnsMu.Lock()
	defer p.turnsMu.Unlock()
	p.joinRound(all, kind)
	heaviest := 0.0
	for _, t := range all {
		if fits(t) {
			heaviest = max(heaviest, t.weight(now))
		}
	}
	for {
		next := fewestTurns(all, fits, kind)
		if next == nil {
			return nil
		}
		next.turns[kind]++
		if p.chance(next.weight(now) / heaviest) {
			return next
		}
	}
}

// joinRound gives the targets that take requests the turns that they have missed while they
// did not: otherwise one that comes back would get every request for a while. The caller
// holds turnsMu.
func (p *Pool) joinRound(all []*Target, kind turnKind) {
	least := uint64(math.MaxUint64)
	for _, t := range all {
		if t.takesRequests() && t.turns[kind] >= p.round[kind] {
			least = min(least, t.turns[kind])
		}
	}
	if least < math.MaxUint64 {
		p.round[kind] = least
	}
	for _, t := range all {
		if t.takesRequests() {
			t.turns[kind] = max(t.turns[kind], p.round[kind])
		}
	}
}

// fewestTurns returns the first of the targets that fit and have had the fewest turns, or
// nil if none fits.
func fewestTurns(all []*Target, fits func(*Target) bool, kind turnKind) (next *Target) {
	for _, t := range all {
		if fits(t) && (next == nil || t.turns[kind] < next.turns[kind]) {
			next = t
		}
	}
	return next
}

// highest returns the target with the highest score for the key: rendezvous hashing with
// weights. A target that comes or goes moves no key between two others.
func highest(all []*Target, fits func(*Target) bool, key uint64, now heartbeat.Time) (best *Target) {
	most := math.Inf(-1)
	for _, t := range all {
		if !fits(t) {
			continue
		}
		if score := t.score(key, now); score > most {
			best, most = t, score
		}
	}
	return best
}

// score is higher for one target than for another in a share of all keys that is
// proportional to their weights.
func (t *Target) score(key uint64, now heartbeat.Time) float64 {
	share := (float64(mix(key^t.hash)>>11) + 0.5) / (1 << 53) // evenly between 0 and 1
	return -t.weight(now) / math.Log(share)
}

// below returns a random number from 0 to n-1.
func (p *Pool) below(n int) int { return int(p.cfg.Random() % uint64(n)) }

// chance returns true in a share of all calls.
func (p *Pool) chance(share float64) bool {
	return share >= 1 || float64(p.cfg.Random()>>11)/(1<<53) < share
}
