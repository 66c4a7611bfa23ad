package main

import "time"

// A pace says when the next piece of a fixed amount of work is due.
type pace struct {
	every time.Duration
	next  time.Time
	left  int
}

// paceOf spreads rate pieces a second over a duration.
func paceOf(rate int, over time.Duration, start time.Time) *pace {
	return &pace{
		every: time.Second / time.Duration(rate),
		next:  start,
		left:  int(float64(rate) * over.Seconds()),
	}
}

// due takes one piece, if its time has come.
func (p *pace) due(now time.Time) bool {
	if p.left == 0 || now.Before(p.next) {
		return false
	}
	p.left--
	p.next = p.next.Add(p.every)
	return true
}
