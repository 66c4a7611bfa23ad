package main

import "time"

// A pace says when the next piece of a fixed amount of work is due.
type pace struct {
	every time.Duration
	next  time.Time
	left  int
}

// paceOf returns a pace of rate pieces a second for the duration over.
func paceOf(rate int, over time.Duration, start time.Time) *pace {
	return &pace{
		every: time.Second / time.Duration(rate),
		next:  start,
		left:  int(float64(rate) * over.Seconds()),
	}
}

// due reports whether a piece is due at now, and takes that piece.
func (p *pace) due(now time.Time) bool {
	if p.left == 0 || now.Before(p.next) {
		return false
	}
	p.left--
	p.next = p.next.Add(p.every)
	return true
}
