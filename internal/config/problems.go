package config

import (
	"slices"
	"strings"

	"holdfast/internal/shown"
)

// Problem is one reason to refuse an environment.
type Problem struct {
	Variable string
	Value    string // as it was set; empty if it should not be shown
	Reason   string // what is wrong and what to do; it follows the variable's name and value
}

func (p Problem) String() string {
	if p.Value == "" {
		return p.Variable + " " + p.Reason
	}
	return p.Variable + "=" + shown.Quoted(p.Value) + " " + p.Reason
}

// Problems are all reasons to refuse an environment.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
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

// OnlyUpstreamMissing reports whether the only problem is that no upstream is set, as for
// a user who starts Holdfast for the first time.
func (ps Problems) OnlyUpstreamMissing() bool {
	return len(ps) == 1 && ps[0].Reason == noUpstream
}

// sort puts ps in the order of the variables. Names that do not exist come last.
func (ps Problems) sort() {
	place := func(p Problem) int {
		i := slices.IndexFunc(variables, func(v variable) bool { return v.name == p.Variable })
		if i < 0 {
			return len(variables)
		}
		return i
	}
	slices.SortStableFunc(ps, func(a, b Problem) int { return place(a) - place(b) })
}
