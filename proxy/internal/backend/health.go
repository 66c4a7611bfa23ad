package backend

import (
	"sync"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/panics"
	"holdfast/proxy/internal/field"
)

// Health configures the checks of a Backend. A check connects. If there is a Path, the
// check also gets it.
type Health struct {
	// Interval is the time between two checks of a backend that works. Without a Path, a
	// dial that comes through takes the place of a check. 0 means that a backend that
	// works is not checked. Negative means that it is not even checked at the start, and
	// counts as up until it fails.
	Interval time.Duration
	// Path is the target of the GET; empty means that a connection is enough. The backend
	// works if the answer has a status of 2xx or 3xx.
	Path string
	// Host and Header are fields of the GET.
	Host   string
	Header field.Fields
	// AnswerTimeout bounds the GET, and MaxHeaderSize the head of its answer, in bytes.
	AnswerTimeout time.Duration
	MaxHeaderSize int
}

// recheck is how long after a failure a backend is checked again.
const recheck = 2 * time.Second

// A backend goes down after so many failures of a kind in a row. One failure may be an
// accident of the network. A dial of a client's fails for more reasons than a check.
const (
	checksUntilDown = 2
	dialsUntilDown  = 3
)

// state is what is known about whether a backend works.
type state struct {
	mu           sync.Mutex // guards the fields below
	up           bool
	failedChecks int            // in a row
	failedDials  int            // in a row
	reached      heartbeat.Time // when a dial last came through; 0: none has
	warned       bool           // the log has said that the backend is down
	watched      bool           // a check is under way, or planned
}

// Up reports whether the backend works, as far as is known.
func (b *Backend) Up() bool {
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	return b.state.up
}

// Watch begins to check the backend, see Health.Interval.
func (b *Backend) Watch() {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.cfg.Health.Interval >= 0 && !s.watched {
		s.watched = true
		b.cfg.Beside(b.check)
	}
}

// setUp sets whether the backend is up. The caller holds state.mu.
func (b *Backend) setUp(up bool) {
	b.state.up = up
	b.gauges.SetUp(up)
}

// dialWorked records that a dial came through, see Learn.
func (b *Backend) dialWorked() {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failedDials = 0
	s.reached = b.cfg.Clock()
	if b.cfg.Health.Path == "" { // otherwise only a check tells more
		b.works()
	}
}

// dialFailed records that a dial failed, see Learn.
func (b *Backend) dialFailed(err error) {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failedDials++
	if s.failedDials >= dialsUntilDown {
		b.fails(err)
		b.plan(b.pause())
	}
}

// works makes the backend up. The caller holds state.mu.
func (b *Backend) works() {
	s := &b.state
	s.failedChecks, s.failedDials = 0, 0
	if !s.up {
		b.setUp(true)
		s.warned = false
		b.cfg.Log.Info("upstream is up", "upstream", b.name)
	}
}

// fails makes the backend down. A check must be planned: a proxy that is not ready
// receives no clients, so no dial of theirs could bring the backend up again. The caller
// holds state.mu.
func (b *Backend) fails(err error) {
	s := &b.state
	if s.up {
		b.setUp(false)
	}
	if !s.warned {
		s.warned = true
		b.cfg.Log.Warn("upstream is down: it is checked until it works", "upstream", b.name, "error", err.Error())
	}
}

// pause returns the time from a failure to the next check.
func (b *Backend) pause() time.Duration {
	if b.cfg.Health.Interval > 0 {
		return min(recheck, b.cfg.Health.Interval)
	}
	return recheck
}

// plan lets a check follow after some time, unless one is planned already. The caller
// holds state.mu.
func (b *Backend) plan(after time.Duration) {
	if !b.state.watched {
		b.state.watched = true
		b.cfg.After(after, b.check)
	}
}

// check checks the backend, unless dials have told enough, and plans the next check. It
// may block.
func (b *Backend) check() {
	if b.ended.Err() != nil {
		return
	}
	if rest := b.untilCheck(); rest > 0 {
		b.checkAfter(rest)
		return
	}
	err := panics.ErrCaught // what it is if tryOut panics: the next check must come all the same
	defer func() { b.conclude(err) }()
	err = b.tryOut()
}

// conclude draws the conclusions from the outcome of a check.
func (b *Backend) conclude(err error) {
	out := outcomeOf(err)
	if out == Unreachable || out == Unanswered {
		b.stale()
	}
	b.checkAfter(b.checked(out, err))
}

// untilCheck returns how long a check can wait because a dial came through.
func (b *Backend) untilCheck() time.Duration {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up || s.failedChecks > 0 || s.failedDials > 0 || s.reached == 0 || b.cfg.Health.Path != "" {
		return 0
	}
	return s.reached.Add(b.cfg.Health.Interval).Sub(b.cfg.Clock())
}

// checked records the outcome of a check and returns when the next one is due; 0 means
// that none is.
func (b *Backend) checked(out Outcome, err error) (next time.Duration) {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch out {
	case Reached:
		b.works()
	case Unreachable, Unanswered:
		s.failedChecks++
		if !s.up || s.failedChecks >= checksUntilDown { // it is not up before its first success
			b.fails(err)
		}
	case Unprovided, GivenUp, Faulty:
	}
	if out != Reached || !s.up {
		return b.pause()
	}
	return b.cfg.Health.Interval
}

// checkAfter lets the next check follow after some time; 0 means that there is none, until
// the backend fails.
func (b *Backend) checkAfter(d time.Duration) {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = false
	switch {
	case d > 0:
		b.plan(d)
	case !s.up: // it went down while the check was under way
		b.plan(b.pause())
	}
}

// tryOut makes one check.
func (b *Backend) tryOut() error {
	conn, err := b.Connect(b.ended)
	if err != nil {
		return err
	}
	defer conn.Close()
	if b.cfg.Health.Path == "" {
		return nil
	}
	return b.get(conn)
}
