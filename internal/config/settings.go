package config

import (
	"maps"
	"slices"
	"strings"

	"holdfast/internal/shown"
)

// settings are the variables of an environment that begin with HOLDFAST_, by name. An
// empty value means the default.
type settings map[string]string

func readSettings(environ []string) settings {
	s := settings{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, prefix) {
			s[name] = value
		}
	}
	return s
}

// effective returns the value of v, and the name of the variable that it came from: v
// itself, or the one whose value v takes, or "" if the value is v's default.
func (s settings) effective(v variable) (value, from string) {
	if value := s[v.name]; value != "" {
		return value, v.name
	}
	if v.parent == "" {
		return v.def, ""
	}
	value, _ = s.effective(variableNamed(v.parent))
	return value, v.parent
}

// strangers reports variables with our prefix that do not exist, or that this version does
// not support. Their values are never shown: some of them are secrets.
func (s settings) strangers() (found Problems) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		switch {
		case slices.ContainsFunc(variables, func(v variable) bool { return v.name == name }):
		case slices.Contains(unsupported, name):
			if s[name] != "" {
				found = append(found, Problem{Variable: name, Reason: "is not supported by this version; unset it"})
			}
		case serviceLink.MatchString(name):
		default:
			found = append(found, Problem{Variable: shown.Printable(name), Reason: unknown(name)})
		}
	}
	return found
}

func unknown(name string) string {
	if meant := Nearest(name, prefix, Names()); meant != "" {
		return "is not a variable of Holdfast; did you mean " + meant + "?"
	}
	return "is not a variable of Holdfast; `holdfast env` lists all"
}
