package main

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
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
	return p.variable + "=" + quoted(p.value) + " " + p.reason
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

// quoted is a refused value for a message: in quotes, escaped, bounded, and
// without what may be a secret.
func quoted(value string) string {
	return strconv.Quote(bounded(hidden(value)))
}

// hidden replaces the parts of a URL that may be secrets: user name and password,
// and whatever follows its path.
func hidden(value string) string {
	if i := strings.IndexAny(value, "?#"); i >= 0 {
		value = value[:i+1] + "…"
	}
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		scheme := strings.Index(value[:at], "://")
		if scheme < 0 {
			return "…" + value[at:]
		}
		return value[:scheme+len("://")] + "…" + value[at:]
	}
	return value
}

// maxShown is how many bytes of a value a message shows.
const maxShown = 80

func bounded(value string) string {
	if len(value) <= maxShown {
		return value
	}
	end := maxShown
	for !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end] + "…"
}

// printable is a name from outside for a terminal: bounded, and escaped where it has to be.
func printable(name string) string {
	quoted := strconv.Quote(bounded(name))
	return quoted[1 : len(quoted)-1]
}
