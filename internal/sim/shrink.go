package main

import (
	"regexp"
	"slices"
	"time"
)

// shrink makes a plan smaller as long as it breaks the same promise: it takes away
// sessions, actions, faults and knobs, one after the other, until nothing more can go.
func shrink(p *Plan, breaks func(*Plan) string) *Plan {
	s := shrinker{plan: p, wants: kindOf(breaks(p)), breaks: breaks}
	for s.smaller = true; s.smaller; {
		s.smaller = false
		s.sessions()
		s.actions()
		s.upstreams()
		s.settings()
	}
	return s.plan
}

type shrinker struct {
	plan    *Plan
	wants   string // the kind of the promise that is broken
	breaks  func(*Plan) string
	smaller bool // a step of this pass has succeeded
}

var numbers = regexp.MustCompile(`[0-9.]+[µmnhs0-9.]*|"[^"]*"`)

// kindOf is what is common to one broken promise in plans of different sizes.
func kindOf(broken string) string { return numbers.ReplaceAllString(broken, "#") }

// try keeps a change of the plan if it still breaks the promise.
func (s *shrinker) try(change func(*Plan)) bool {
	smaller := s.plan.clone()
	change(smaller)
	if kindOf(s.breaks(smaller)) != s.wants {
		return false
	}
	s.plan, s.smaller = smaller, true
	return true
}

// clone copies a plan, down to its actions.
func (p *Plan) clone() *Plan {
	c := *p
	c.Sessions = append([]Conversation(nil), p.Sessions...)
	c.Upstreams = slices.Clone(p.Upstreams)
	c.Troubles = slices.Clone(p.Troubles)
	for i := range c.Sessions {
		for _, a := range c.Sessions[i].actors() {
			a.Does = append([]Action(nil), a.Does...)
		}
	}
	return &c
}

func (c *Conversation) actors() [2]*Actor { return [2]*Actor{&c.Client, &c.Service} }

func (s *shrinker) sessions() {
	for i := len(s.plan.Sessions) - 1; i >= 0 && len(s.plan.Sessions) > 1; i-- {
		s.try(func(p *Plan) { p.Sessions = append(p.Sessions[:i], p.Sessions[i+1:]...) })
	}
}

// actions takes away runs of actions, long ones first. What follows keeps its time.
func (s *shrinker) actions() {
	for i := range s.plan.Sessions {
		for side := range 2 {
			for size := 8; size > 0; size /= 2 {
				for at := len(s.plan.Sessions[i].actors()[side].Does) - size; at >= 0; at-- {
					if at+size > len(s.plan.Sessions[i].actors()[side].Does) {
						continue
					}
					s.try(func(p *Plan) { p.Sessions[i].actors()[side].without(at, size) })
				}
			}
		}
	}
}

func (a *Actor) without(at, size int) {
	var gap time.Duration
	for _, do := range a.Does[at : at+size] {
		gap += do.After
	}
	if at+size < len(a.Does) {
		a.Does[at+size].After += gap
	}
	a.Does = append(a.Does[:at], a.Does[at+size:]...)
}

// upstreams takes away troubles, addresses and upstreams. A trouble of what is gone does
// nothing.
func (s *shrinker) upstreams() {
	for i := len(s.plan.Troubles) - 1; i >= 0; i-- {
		s.try(func(p *Plan) { p.Troubles = slices.Delete(p.Troubles, i, i+1) })
	}
	for i := len(s.plan.Upstreams) - 1; i >= 0; i-- {
		if i == len(s.plan.Upstreams)-1 && s.try(func(p *Plan) { p.Upstreams = p.Upstreams[:i] }) {
			continue
		}
		if s.plan.Upstreams[i].Addresses > 1 {
			s.try(func(p *Plan) { p.Upstreams[i].Addresses-- })
		}
		if s.plan.Upstreams[i].Name {
			s.try(func(p *Plan) { p.Upstreams[i].Name, p.Upstreams[i].Addresses = false, 1 })
		}
		if s.plan.Upstreams[i].TLS {
			s.try(func(p *Plan) { p.Upstreams[i].TLS = false })
		}
	}
}

// settings sets one thing after the other to its plainest value.
func (s *shrinker) settings() {
	for _, plainer := range plainer {
		before := *s.plan
		changed := *s.plan.clone()
		plainer(&changed)
		if changed.Knobs != before.Knobs || changed.Faults != before.Faults || changed.Stop != before.Stop || changed.Spread != before.Spread || changed.Drain != before.Drain {
			s.try(plainer)
		}
	}
	for i := range s.plan.Sessions {
		s.trySession(i, func(c *Conversation) { c.Opening = Opens })
		s.trySession(i, func(c *Conversation) { c.At = 0 })
		s.trySession(i, func(c *Conversation) { c.Operator = 0 })
		for side := range 2 {
			s.tryActor(i, side, func(a *Actor) { a.Answers = 0 })
			s.tryActor(i, side, func(a *Actor) { a.Reply = Echoes })
			s.tryActor(i, side, func(a *Actor) { a.Heap = 0 })
			s.tryActor(i, side, func(a *Actor) { a.Rate = 0 })
			s.tryActor(i, side, func(a *Actor) { a.Early = false })
			s.tryActor(i, side, func(a *Actor) { a.Lazy = false })
			s.tryActor(i, side, func(a *Actor) { a.App = Obliges })
			s.tryActor(i, side, func(a *Actor) { a.AppAfter = 0 })
			for j := range s.plan.Sessions[i].actors()[side].Does {
				s.tryAction(i, side, j, func(do *Action) { do.Kind = Says })
				s.tryAction(i, side, j, func(do *Action) { do.Size /= 2 })
				s.tryAction(i, side, j, func(do *Action) { do.After = do.After.Truncate(time.Second) })
			}
		}
	}
}

func (s *shrinker) trySession(i int, change func(*Conversation)) {
	c := s.plan.clone().Sessions[i]
	change(&c)
	if was := &s.plan.Sessions[i]; c.Opening != was.Opening || c.At != was.At || c.Operator != was.Operator {
		s.try(func(p *Plan) { change(&p.Sessions[i]) })
	}
}

func (s *shrinker) tryActor(i, side int, change func(*Actor)) {
	was := s.plan.Sessions[i].actors()[side]
	a := *was
	change(&a)
	if a.Answers != was.Answers || a.Rate != was.Rate || a.Early != was.Early || a.Lazy != was.Lazy || a.Reply != was.Reply || a.Heap != was.Heap || a.App != was.App || a.AppAfter != was.AppAfter {
		s.try(func(p *Plan) { change(p.Sessions[i].actors()[side]) })
	}
}

func (s *shrinker) tryAction(i, side, j int, change func(*Action)) {
	do := s.plan.Sessions[i].actors()[side].Does[j]
	was := do
	if change(&do); do != was {
		s.try(func(p *Plan) { change(&p.Sessions[i].actors()[side].Does[j]) })
	}
}

// plainer are the plainest values of all knobs and faults.
var plainer = []func(*Plan){
	func(p *Plan) { p.Stop = 0 },
	func(p *Plan) { p.Spread = 0 },
	func(p *Plan) { p.Drain = Drain{} },
	func(p *Plan) { p.Drain.At = 0 },
	func(p *Plan) { p.Drain.Delay = 0 },
	func(p *Plan) { p.Drain.Limit = 0 },
	func(p *Plan) { p.Drain.AtOnce = false },
	func(p *Plan) { p.Drain.Second = 0 },
	func(p *Plan) { p.Knobs.Loops = 1 },
	func(p *Plan) { p.Knobs.Interval, p.Knobs.Timeout = 0, 0 },
	func(p *Plan) { p.Knobs.PongOnly = false },
	func(p *Plan) { p.Knobs.UpstreamPong = "require" },
	func(p *Plan) { p.Knobs.Forward = false },
	func(p *Plan) { p.Knobs.Idle = 0 },
	func(p *Plan) { p.Knobs.Oldest = 0 },
	func(p *Plan) { p.Knobs.MaxFrame = 0 },
	func(p *Plan) { p.Knobs.MaxMessage = 0 },
	func(p *Plan) { p.Knobs.PaceFrames = 0 },
	func(p *Plan) { p.Knobs.PaceBytes = 0 },
	func(p *Plan) { p.Knobs.ClientApp = AppKnobs{} },
	func(p *Plan) { p.Knobs.ServiceApp = AppKnobs{} },
	func(p *Plan) { p.Knobs.ClientApp.Answers = "" },
	func(p *Plan) { p.Knobs.ServiceApp.Answers = "" },
	func(p *Plan) { p.Knobs.ClientApp.Ping = "" },
	func(p *Plan) { p.Knobs.ServiceApp.Ping = "" },
	func(p *Plan) { p.Knobs.ClientApp.Pong = "" },
	func(p *Plan) { p.Knobs.ServiceApp.Pong = "" },
	func(p *Plan) { p.Knobs.PerIP = 0 },
	func(p *Plan) { p.Knobs.Preface = false },
	func(p *Plan) { p.Knobs.ClientTLS = false },
	func(p *Plan) { p.Knobs.ServiceTLS = false },
	func(p *Plan) { p.Knobs.Balance = "" },
	func(p *Plan) { p.Knobs.SlowStart = 0 },
	func(p *Plan) { p.Knobs.Checks = 0 },
	func(p *Plan) { p.Knobs.Places = 100 },
	func(p *Plan) { p.Knobs.Buffer, p.Knobs.Inbox = 64<<10, 64<<10 },
	func(p *Plan) { p.Knobs.Batch = 0 },
	func(p *Plan) { p.Knobs.Pages = false },
	func(p *Plan) { p.Knobs.Clients = 0 },
	func(p *Plan) { p.Knobs.Sessions = 0 },
	func(p *Plan) { p.Knobs.Lobby = 0 },
	func(p *Plan) { p.Faults.Again = 0 },
	func(p *Plan) { p.Faults.Short = 0 },
	func(p *Plan) { p.Faults.Ghosts = 0 },
	func(p *Plan) { p.Faults.Poller = 0 },
	func(p *Plan) { p.Faults.Accept = 0 },
	func(p *Plan) { p.Faults.Connect = 0 },
	func(p *Plan) { p.Faults.TLS = 0 },
	func(p *Plan) { p.Faults.Lookup = 0 },
	func(p *Plan) { p.Faults.Probe = 0 },
	func(p *Plan) { p.Faults.Stalls = 0 },
	func(p *Plan) { p.Faults.Stopped = 0 },
	func(p *Plan) { p.Faults.Slow = time.Microsecond },
	func(p *Plan) { p.Faults.Panic = 0 },
}
