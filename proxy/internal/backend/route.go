package backend

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/upgrade"
)

// ErrTimeout means that no connection was made in time.
var ErrTimeout = errors.New("no connection in time")

// queueFullPause is how long a dial waits before it tries a unix socket again whose queue
// was full. Unlike TCP, a unix socket's connect does not wait for room.
const queueFullPause = 20 * time.Millisecond

// A Route is the way of one request to a target that answers. It makes no connection
// itself: the caller connects to To within Until, and reports the outcome. The zero Route
// must not be used.
type Route struct {
	To    *Target        // the target to try; set by Next
	Until heartbeat.Time // when the time of To is up; set by Begin

	pool  *Pool
	key   uint64
	by    heartbeat.Time // when the time of all targets is up; 0: it has not begun
	late  bool           // the time of all targets is up
	tried []attempt
	been  map[*Target]struct{} // those of tried, once they are many
	waits int
}

// An attempt is a target that was tried, and why that failed.
type attempt struct {
	target *Target
	err    error
}

func (a attempt) Error() string { return fmt.Sprintf("%v: %v", a.target, a.err) }
func (a attempt) Unwrap() error { return a.err }

// A Step is what a Route needs next.
type Step uint8

const (
	Try  Step = iota // a dial to To
	Wait             // a lookup: see Pool.Await
	End              // nothing: all targets have failed, see Err
)

// Route returns the route of a request of that client.
func (p *Pool) Route(r *upgrade.Request, client netip.Addr) Route {
	return Route{pool: p, key: p.cfg.Balance.key(r, client)}
}

// mayWait reports whether the route waits for a lookup that is under way: for the first
// addresses, for new ones instead of those that are old, or for those that have come since
// the route began. It waits as often as there are names at most.
func (r *Route) mayWait() bool { return r.waits < len(r.pool.backends) && r.pool.looksUp() }

// Next chooses the target to try next, which the caller must Leave.
func (r *Route) Next(now heartbeat.Time) Step {
	r.To = nil
	if r.late = r.by != 0 && now >= r.by; r.late {
		return End
	}
	if r.waits == 0 { // else the answer has just come
		r.pool.refresh(now)
	}
	for {
		t := r.choose(now)
		switch {
		case t == nil && r.mayWait():
			r.waits++
			return Wait
		case t == nil:
			return End
		case t.take():
			r.To = t
			return Try
		}
		r.note(t, errGone)
	}
}

var errGone = errors.New("the name does not lead there any more")

// choose returns the next target: one that is up, or else one that is down.
func (r *Route) choose(now heartbeat.Time) *Target {
	kind := begins
	if len(r.tried) > 0 {
		kind = goesOn
	}
	for _, up := range [...]bool{true, false} {
		fits := func(t *Target) bool { return t.Up() == up && r.mayTry(t, now) }
		if t := r.pool.choose(fits, r.key, kind, now); t != nil {
			return t
		}
	}
	return nil
}

// mayTry reports whether a target takes requests, and was not tried yet.
func (r *Route) mayTry(t *Target, now heartbeat.Time) bool {
	return !t.drained.Load() && !t.gone.Load() && !t.backend.isOld(now) && !r.hasTried(t)
}

func (r *Route) hasTried(t *Target) bool {
	if r.been != nil {
		_, has := r.been[t]
		return has
	}
	return slices.ContainsFunc(r.tried, func(a attempt) bool { return a.target == t })
}

// fewTried is how many targets a route has tried at most while it searches its list for
// them. A list of hundreds would be searched for each of hundreds of targets, on a loop.
const fewTried = 8

// note records that a target was tried or passed over, and why it is not used.
func (r *Route) note(t *Target, err error) {
	r.tried = append(r.tried, attempt{t, err})
	switch {
	case r.been != nil:
		r.been[t] = struct{}{}
	case len(r.tried) > fewTried:
		r.been = make(map[*Target]struct{})
		for _, a := range r.tried {
			r.been[a.target] = struct{}{}
		}
	}
}

// Begin starts the time of the whole route, if it has not begun yet, and returns when it
// is up.
func (r *Route) Begin(now heartbeat.Time) (by heartbeat.Time) {
	if r.by == 0 {
		r.by = now.Add(r.pool.cfg.DialTimeout)
	}
	return r.by
}

// InTime returns at, or when the time of the whole route is up if that is earlier.
func (r *Route) InTime(at heartbeat.Time) heartbeat.Time {
	if r.by == 0 {
		return at
	}
	return min(at, r.by)
}

// leastShare is the part of DialTimeout that each target may use, however many there are.
const leastShare = 5

// Share sets Until: To gets an even share of the time that is left, so that a target that
// does not answer leaves time for the others.
func (r *Route) Share(now heartbeat.Time) {
	by := r.Begin(now)
	left := 0
	for _, t := range *r.pool.targets.Load() {
		if r.mayTry(t, now) {
			left++
		}
	}
	share := by.Sub(now) / time.Duration(max(1, left))
	r.Until = min(by, now.Add(max(share, r.pool.cfg.DialTimeout/leastShare)))
}

// More reports whether another target than To, which was not tried yet, is up, and time is
// left for it.
func (r *Route) More(now heartbeat.Time) bool {
	if r.by != 0 && now >= r.by {
		return false
	}
	return slices.ContainsFunc(*r.pool.targets.Load(), func(t *Target) bool { return t != r.To && t.Up() && r.mayTry(t, now) })
}

// Better reports whether To is down, and More are up.
func (r *Route) Better(now heartbeat.Time) bool { return !r.To.Up() && r.More(now) }

var (
	errDrained  = errors.New("it was taken out of use before it was dialled")
	errWentDown = errors.New("it went down before it was dialled")
)

// Amiss returns why To must not be dialled any more, after a wait for its turn, or nil.
func (r *Route) Amiss(now heartbeat.Time) error {
	switch {
	case r.by != 0 && now >= r.by:
		return ErrTimeout
	case r.To.gone.Load():
		return errGone
	case r.To.drained.Load():
		return errDrained
	case r.Better(now):
		return errWentDown
	}
	return nil
}

// Full returns when to try To again, whose queue was full.
func (r *Route) Full(now heartbeat.Time) (again heartbeat.Time) {
	return min(r.Until, now.Add(queueFullPause))
}

// Missed records why To could not be connected to, and what that says about it.
func (r *Route) Missed(err error) Outcome {
	r.note(r.To, err)
	return r.To.Learn(err)
}

// Skipped records that To was not dialled, and why.
func (r *Route) Skipped(err error) { r.note(r.To, err) }

// ErrNoTarget is the error of a route that could try nothing, although addresses are known.
var ErrNoTarget = errors.New("no upstream takes new sessions")

// errAllOut is the ErrNoTarget of a drain.
var errAllOut = fmt.Errorf("%w: an operator has taken them out of use", ErrNoTarget)

var errOutOfUse = errors.New("an operator has taken it out of use")

// outOfUse returns the errors of what was not tried because an operator has taken it out of
// use. A backend that is out of use as a whole has one error.
func (r *Route) outOfUse() (all []error) {
	for _, b := range r.pool.backends {
		targets := b.inUse()
		var some []error
		for _, t := range targets {
			if t.drained.Load() && !r.hasTried(t) {
				some = append(some, attempt{t, errOutOfUse})
			}
		}
		if len(some) == len(targets) && (len(some) > 0 || b.isOut()) {
			some = []error{fmt.Errorf("%s: %w", b.name, errOutOfUse)}
		}
		all = append(all, some...)
	}
	return all
}

// isOut reports whether an operator has taken the backend out of use as a whole.
func (b *Backend) isOut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.drained
}

// Late returns the error of a route whose time was up before its first dial.
func (r *Route) Late() error {
	if out := r.outOfUse(); len(out) > 0 {
		return failed(append(out, ErrTimeout))
	}
	return ErrTimeout
}

// Err returns the error of a route that has ended. resolved is false if no address was
// found, but for those that are out of use.
func (r *Route) Err() (resolved bool, err error) {
	out, none := r.outOfUse(), r.pool.noAddresses()
	switch {
	case len(r.tried) == 1 && !r.pool.Several():
		return true, r.tried[0].err
	case len(r.tried) > 0:
		all := failed(slices.Concat(out, none))
		for _, a := range r.tried {
			all = append(all, a)
		}
		return true, all
	case r.late:
		return len(none) == 0, r.Late()
	case len(none) == 0 && len(out) == 0:
		return true, ErrNoTarget
	case len(none) == 0:
		return true, errAllOut
	case len(none) == 1 && len(out) == 0:
		return false, errors.Unwrap(none[0])
	}
	return false, failed(slices.Concat(out, none))
}

// failed are the errors of all targets that were tried. Before them are those of the
// backends and targets that are out of use, and those of the backends that have no address.
// The last one decides what the outcome is: see OutcomeOf.
type failed []error

func (f failed) Error() string {
	var all []string
	for _, err := range f {
		all = append(all, err.Error())
	}
	return strings.Join(all, "; ")
}

// Unwrap returns the errors, so that one can be looked for.
func (f failed) Unwrap() []error { return f }

// looksUp reports whether a lookup is under way.
func (p *Pool) looksUp() bool {
	return slices.ContainsFunc(p.backends, (*Backend).looksUp)
}

func (b *Backend) looksUp() bool {
	if !b.named() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lookup.underWay
}
