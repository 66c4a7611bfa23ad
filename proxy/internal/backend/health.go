package backend

import (
	"errors"
	"slices"
	"sync"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/panics"
	"holdfast/proxy/internal/field"
)

// Health configures the checks of targets. A check connects. If there is a Path, the
// check also gets it.
type Health struct {
	// Interval is the time between two checks of a target that works, a tenth more or less.
	// Without a Path, a dial that comes through takes the place of a check. 0 means that a
	// target that works is not checked. Negative means that it is not even checked at the
	// start, and counts as up until it fails.
	Interval time.Duration
	// Path is what the GET asks for; empty means that a connection is enough. The target
	// works if the answer has a status of 2xx or 3xx.
	Path string
	// Header are fields of the GET.
	Header field.Fields
	// AnswerTimeout bounds the GET, and MaxHeaderSize the head of its answer, in bytes.
	AnswerTimeout time.Duration
	MaxHeaderSize int
}

// A target that has failed is checked again after recheck. Each check that fails then
// doubles the pause, up to longestRecheck.
const (
	recheck        = 2 * time.Second
	longestRecheck = 30 * time.Second
)

// A target goes down after so many failures of a kind in a row. One failure may be an
// accident of the network. A dial of a client's fails for more reasons than a check.
const (
	checksUntilDown = 2
	dialsUntilDown  = 3
)

// state is what is known about whether a target works.
type state struct {
	mu           sync.Mutex // guards the fields below
	up           bool
	hasBeenUp    bool
	failedChecks int            // in a row
	failedDials  int            // in a row
	came         heartbeat.Time // when a dial last came through; 0: none has
	reason       string         // why it is down
	warned       bool           // the log has said that the target is down
	watched      bool           // a check is under way, or planned
	due          heartbeat.Time // when the planned check is due; 0: none is
	plans        int            // how many were made; only the check of the last one is made
}

// now returns whether the target works, and why not.
func (s *state) now() (up bool, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		return true, ""
	}
	return false, s.reason
}

// watch begins to check the target, see Health.Interval.
func (t *Target) watch() {
	s := &t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.watched:
	case t.backend.pool.cfg.Health.Interval >= 0:
		s.watched = true
		t.backend.pool.cfg.Beside(t.planned())
	case !s.up:
		t.plan(t.pause())
	}
}

// setUp sets whether the target is up. The caller holds state.mu.
func (t *Target) setUp(up bool) {
	t.state.up = up
	t.up.Store(up)
}

// dialWorked records that a dial came through, see Learn.
func (t *Target) dialWorked() {
	s := &t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failedDials = 0
	s.came = t.backend.pool.cfg.Clock()
	t.reach()
	if t.backend.pool.cfg.Health.Path == "" { // otherwise only a check tells more
		t.works()
	}
}

// dialFailed records that a dial failed, see Learn.
func (t *Target) dialFailed(err error) {
	s := &t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failedDials++
	if s.failedDials >= dialsUntilDown {
		t.fails(err)
		t.plan(t.pause())
	}
}

// works makes the target up. The caller holds state.mu.
func (t *Target) works() {
	s := &t.state
	s.failedChecks, s.failedDials = 0, 0
	t.reach()
	if s.up {
		return
	}
	if s.hasBeenUp {
		t.rises()
	}
	s.hasBeenUp = true
	s.warned = false
	t.setUp(true)
	t.backend.pool.publish()
	t.backend.pool.cfg.Log.Info("upstream is up", "upstream", t.backend.name, "address", t.address)
}

// reach records that a dial or a check has come through: see inUse.
func (t *Target) reach() {
	if !t.reached.Swap(true) {
		t.backend.pool.publish()
	}
}

// fails makes the target down. A check must be planned: a proxy that is not ready
// receives no clients, so no dial of theirs could bring the target up again. The caller
// holds state.mu.
func (t *Target) fails(err error) {
	s := &t.state
	s.reason = err.Error()
	if s.up {
		t.setUp(false)
		t.backend.pool.publish()
		t.backend.pool.moved(t)
	}
	if !s.warned && t.isMissed() {
		s.warned = true
		t.backend.pool.cfg.Log.Warn("upstream is down: it is checked until it works",
			"upstream", t.backend.name, "address", t.address, "error", err.Error())
	}
}

// isMissed reports whether anybody misses the target while it is down. Nobody misses an
// address that the name does not lead to any more. Nor is an address missed that has never
// worked, while the name's other addresses work, or may do so: see inUse.
func (t *Target) isMissed() bool {
	if t.gone.Load() {
		return false
	}
	return t.reached.Load() || slices.Contains(t.backend.inUse(), t) && !t.backend.isOpen()
}

// isOpen reports whether addresses of both families have come, and some were not tried yet.
func (b *Backend) isOpen() bool {
	families, open := [2]bool{}, false
	for _, t := range b.all() {
		if t.isV6() {
			families[1] = true
		} else {
			families[0] = true
		}
		open = open || !t.tried.Load()
	}
	return open && families == [2]bool{true, true}
}

// pause returns the time from a failure to the next check.
func (t *Target) pause() time.Duration {
	longest := longestRecheck
	if interval := t.backend.pool.cfg.Health.Interval; interval > 0 {
		longest = min(longest, interval)
	}
	pause := recheck << max(0, min(t.state.failedChecks-checksUntilDown, 10))
	return min(pause, longest)
}

// plan lets a check follow after some time, unless one is under way, or is due sooner. A
// check that is due later is not made then: a target that dials have made down does not wait
// for the interval of one that works. The caller holds state.mu.
func (t *Target) plan(after time.Duration) {
	s, cfg := &t.state, &t.backend.pool.cfg
	due := cfg.Clock().Add(after)
	if s.watched && due >= s.due { // s.due is 0 while a check is under way
		return
	}
	s.watched, s.due = true, due
	cfg.After(after, t.planned())
}

// planned returns a check that is made unless another one is planned meanwhile. The caller
// holds state.mu.
func (t *Target) planned() (check func()) {
	t.state.plans++
	number := t.state.plans
	return func() {
		if t.comes(number) {
			t.check()
		}
	}
}

// comes reports whether the check of the plan of that number is to be made.
func (t *Target) comes(number int) bool {
	s := &t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if number != s.plans {
		return false
	}
	s.due = 0
	return true
}

// check checks the target, unless dials have told enough, and plans the next check. It
// may block.
func (t *Target) check() {
	if t.backend.pool.ended.Err() != nil || t.retires() {
		return
	}
	if rest := t.untilCheck(); rest > 0 {
		t.checkAfter(rest)
		return
	}
	err := panics.ErrCaught // what it is if the check panics: the next one must come all the same
	defer func() { t.conclude(err) }()
	err = t.probe()
}

// retires ends the checks of a target that has gone, and reports whether it has.
func (t *Target) retires() bool {
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	if t.gone.Load() {
		t.state.watched = false // it may come back
	}
	return t.gone.Load()
}

// probe makes a check, when its turn comes.
func (t *Target) probe() error {
	p := t.backend.pool
	p.due.Add(1)
	select {
	case p.checking <- struct{}{}:
		p.due.Add(-1)
		defer func() { <-p.checking }()
	case <-p.ended.Done():
		p.due.Add(-1)
		return p.ended.Err()
	}
	if p.cfg.Probe != nil {
		return p.cfg.Probe(t)
	}
	return t.tryOut()
}

// conclude draws the conclusions from the outcome of a check.
func (t *Target) conclude(err error) {
	out := outcomeOf(err)
	if out == Unreachable || out == Unanswered {
		t.backend.stale()
	}
	first := !t.tried.Swap(true)
	t.checkAfter(t.checked(out, err))
	if first {
		t.backend.speak()
	}
}

// speak lets the log tell of targets that are down, and of which it was too early to tell.
func (b *Backend) speak() {
	for _, t := range b.all() {
		t.state.mu.Lock()
		if t.tried.Load() && !t.state.up {
			t.fails(errors.New(t.state.reason))
		}
		t.state.mu.Unlock()
	}
}

// untilCheck returns how long a check can wait because a dial came through.
func (t *Target) untilCheck() time.Duration {
	s, health := &t.state, &t.backend.pool.cfg.Health
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up || s.failedChecks > 0 || s.failedDials > 0 || s.came == 0 || health.Path != "" {
		return 0
	}
	return s.came.Add(health.Interval).Sub(t.backend.pool.cfg.Clock())
}

// checked records the outcome of a check and returns when the next one is due; 0 means
// that none is.
func (t *Target) checked(out Outcome, err error) (next time.Duration) {
	s := &t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch out {
	case Reached:
		t.works()
	case Unreachable, Unanswered:
		s.failedChecks++
		// It is not up before its first success. One that is out of use serves nobody while it
		// restarts, and an operator who resumes it is to be told what is.
		if !s.up || s.failedChecks >= checksUntilDown || t.drained.Load() {
			t.fails(err)
		}
	case Unprovided, GivenUp, Faulty:
	}
	if out != Reached || !s.up {
		return t.pause()
	}
	return t.backend.pool.jittered(t.backend.pool.cfg.Health.Interval)
}

// jittered returns a time of about d, so that the checks of many proxies do not come
// together.
func (p *Pool) jittered(d time.Duration) time.Duration {
	const share = 10
	if d <= share {
		return d
	}
	return d - d/share + time.Duration(p.below(int(2*d/share)))
}

// checkAfter lets the next check follow after some time; 0 means that there is none, until
// the target fails.
func (t *Target) checkAfter(d time.Duration) {
	s := &t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = false
	switch {
	case d > 0:
		t.plan(d)
	case !s.up: // it went down while the check was under way
		t.plan(t.pause())
	}
}

// within returns how much of d, the time for a step of a check, the target gets. If other
// checks wait, a target that is down gets no more than a dial leaves it at least. Otherwise
// those that are silent would hold up those that work, for DialTimeout each.
func (t *Target) within(d time.Duration) time.Duration {
	if !t.Up() && t.backend.pool.due.Load() > 0 {
		return d / leastShare
	}
	return d
}

// tryOut makes a check over a connection of its own.
func (t *Target) tryOut() error {
	conn, err := t.Connect(t.backend.pool.ended, t.within(t.backend.pool.cfg.DialTimeout))
	if err != nil {
		return err
	}
	defer conn.Close()
	if t.backend.pool.cfg.Health.Path == "" {
		return nil
	}
	return t.get(conn)
}
