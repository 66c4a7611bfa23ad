package main

import (
	"slices"
	"strings"

	"holdfast/internal/shown"
)

// problem is one reason to refuse an environment.
type problem struct {
	variable string
	value    string // as it was set; empty where showing it helps nobody
	reason   string // what is wrong and what to do: goes on after the variable's name
}

func (p problem) String() string {
	if p.value == "" {
		return p.variable + " " + p.reason
	}
	return p.variable + "=" + shown.Quoted(p.value) + " " + p.reason
}

// problems are all reasons to refuse an environment.
type problems []problem

// Error is one line for each problem.
func (ps problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

const (
	upstreamName = "HOLDFAST_UPSTREAM"
	noUpstream   = "is not set; it says where the service is, for example " + upstreamName + "=ws://localhost:9000"
)

// onlyUpstreamMissing says that nothing is wrong but that nothing was begun:
// what a newcomer meets first.
func (ps problems) onlyUpstreamMissing() bool {
	return len(ps) == 1 && ps[0].reason == noUpstream
}

// sort puts ps in the order of the table of variables, what is not there last.
func (ps problems) sort() {
	place := func(p problem) int {
		i := slices.IndexFunc(variables, func(v variable) bool { return v.name == p.variable })
		if i < 0 {
			return len(variables)
		}
		return i
	}
	slices.SortStableFunc(ps, func(a, b problem) int { return place(a) - place(b) })
}
