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
// what the rule would give it.
func (p *Pool) choose(fits func(*Target) bool, key uint64, now heartbeat.Time) *Target {
	all := *p.targets.Load()
	n, heaviest := 0, 0.0
	for _, t := range all {
		if fits(t) {
			n++
			heaviest = max(heaviest, t.weight(now))
		}
	}
	switch {
	case n == 0:
		return nil
	case n == 1:
		return nth(all, fits, 0)
	case p.cfg.Balance.By == LeastSessions:
		return p.fewer(all, fits, n, now)
	case p.cfg.Balance.By == RoundRobin:
		return p.inTurn(all, fits, n, heaviest, now)
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
func (p *Pool) fewer(all []*Target, fits func(*Target) bool, n int, now heartbeat.Time) *Target {
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
	if p.chance(a.weight(now) / b.weight(now)) {
		return a
	}
	return b
}

// inTurn returns the next target. A target of less weight lets some of its turns pass.
func (p *Pool) inTurn(all []*Target, fits func(*Target) bool, n int, heaviest float64, now heartbeat.Time) *Target {
	var t *Target
	for range n {
		next := nth(all, fits, int((p.turn.Add(1)-1)%uint64(n)))
		if next == nil {
			continue
		}
		if t = next; p.chance(t.weight(now) / heaviest) {
			break
		}
	}
	return t
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
