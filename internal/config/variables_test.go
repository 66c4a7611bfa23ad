package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A variable is a field of Config with the right tags, and nothing else.
func TestEveryFieldIsAVariable(t *testing.T) {
	var above []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		name := f.Tag.Get("env")
		if !strings.HasPrefix(name, prefix) || slices.Contains(above, name) {
			t.Errorf("%s: %q is not a name, or another field's", f.Name, name)
		}
		if f.Tag.Get("meaning") == "" {
			t.Errorf("%s has no meaning", name)
		}
		if meaning, hasFile := f.Tag.Lookup("file"); hasFile && meaning == "" {
			t.Errorf("%s has no meaning", name+fileSuffix)
		}
		if parent, ok := f.Tag.Lookup("inherits"); ok && !slices.Contains(above, parent) {
			t.Errorf("%s inherits from %s, which is not above it", name, parent)
		}
		if parsers[f.Type] == nil && parsers[elem(f.Type)] == nil && f.Type.Kind() != reflect.String {
			t.Errorf("%s: its type %v has no rule", name, f.Type)
		}
		above = append(above, name)
	}
}

// A tag that is misspelt, or cut short by a quotation mark, says nothing.
func TestTagsAreKnown(t *testing.T) {
	one := regexp.MustCompile(`^(env|envDefault|inherits|meaning|file|secret):"([^"\\]|\\\\)+"( |$)`)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		for rest := string(f.Tag); rest != ""; {
			tag := one.FindString(rest)
			if tag == "" {
				t.Errorf("%s: there is no such tag: %s", f.Name, rest)
				break
			}
			rest = rest[len(tag):]
		}
	}
}

// elem is what a type points to, if it does.
func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}
