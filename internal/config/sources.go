package config

import "strings"

// A Source says where the value of a variable comes from.
type Source string

const (
	SourceDefault     Source = "default" // also of a variable that is not set and has no default
	SourceEnvironment Source = "environment"
	SourceFile        Source = "file"      // which another variable names
	SourceInherited   Source = "inherited" // from another variable
	SourceDerived     Source = "derived"   // computed from several variables
)

// Source returns where the value comes from. other is the other variable that has it or
// names its file, and is empty for the other sources.
func (s Setting) Source() (source Source, other string) {
	switch {
	case s.From == fromEnvironment:
		return SourceEnvironment, ""
	case s.From == fromOthers:
		return SourceDerived, ""
	case s.From == s.Name+fileSuffix:
		return SourceFile, s.From
	case strings.HasPrefix(s.From, prefix):
		return SourceInherited, s.From
	}
	return SourceDefault, ""
}

// IsSecret reports whether the value is one that no output may show. Value has a word in
// its place then.
func (s Setting) IsSecret() bool { return s.secret }

// Plain returns the meaning without the quotes around words of the configuration.
func (s Setting) Plain() string { return plain(s.Meaning) }
