package config

import (
	"maps"
	"slices"
	"strings"

	"holdfast/internal/hostport"
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

// portMeant returns what to write instead of a variable that was to set a port. It returns
// "" for other variables.
func portMeant(name, value string) string {
	if !serviceLink.MatchString(name) || !strings.HasSuffix(name, "_PORT") || !hostport.IsPort(value) {
		return ""
	}
	switch {
	case strings.Contains(name, "UPSTREAM"):
		return "the port of the service is part of HOLDFAST_UPSTREAM"
	case strings.Contains(name, "ADMIN"), strings.Contains(name, "METRICS"):
		return "write HOLDFAST_ADMIN_LISTEN=127.0.0.1:" + value
	}
	return "write HOLDFAST_LISTEN=:" + value
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
		case isServiceLink(name, s[name]):
		default:
			found = append(found, Problem{Variable: shown.Printable(name), Reason: unknown(name, s[name])})
		}
	}
	return found
}

// unknown returns what is wrong with a variable that does not exist. Of value only a port
// is shown.
func unknown(name, value string) string {
	if owner, ok := strings.CutSuffix(name, fileSuffix); ok && slices.ContainsFunc(variables, func(v variable) bool { return v.name == owner }) {
		return "is not a variable of Holdfast: only secrets and the texts of messages are read from files; set " + owner + " itself"
	}
	if reason := portMeant(name, value); reason != "" {
		return "is not a variable of Holdfast; " + reason
	}
	if meant := onOtherSides(name); len(meant) > 0 {
		return "is not a variable of Holdfast; did you mean " + strings.Join(meant, " or ") + "?"
	}
	if meant := Nearest(name, prefix, Names()); meant != "" {
		return "is not a variable of Holdfast; did you mean " + meant + "?"
	}
	return "is not a variable of Holdfast; `holdfast env` lists all"
}
