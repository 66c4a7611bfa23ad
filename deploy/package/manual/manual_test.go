package main

import (
	"strings"
	"testing"

	"holdfast/internal/command"
	"holdfast/internal/config"
)

func written(t *testing.T, args ...string) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b, args); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page has each variable that the table of the binary has, and each command.
func TestThePageNamesAll(t *testing.T) {
	page := written(t, "man", "v1.2.3")
	all, _ := config.Describe(nil)
	for _, s := range all {
		if !strings.Contains(page, "\n.TP\n.B "+s.Name+"\n") {
			t.Errorf("the page does not name %s", s.Name)
		}
	}
	for _, c := range command.Pages() {
		if !strings.Contains(page, "\n.B holdfast "+c.Name+"\n") {
			t.Errorf("the page does not name the command %s", c.Name)
		}
	}
	if !strings.HasPrefix(page, `.TH HOLDFAST 1 "" "Holdfast v1.2.3"`) {
		t.Errorf("it begins with %q", page[:40])
	}
	for line := range strings.Lines(page) {
		if strings.TrimSpace(line) == "" {
			t.Error("it has an empty line, which man takes for a paragraph")
		}
	}
}

func TestTextIsEscaped(t *testing.T) {
	for plain, want := range map[string]string{
		`a\b`:       `a\eb`,
		"-connect":  `\-connect`,
		".profile":  `\&.profile`,
		"'quoted'":  `\&'quoted'`,
		"two\nrows": "two rows",
	} {
		if got := text(plain); got != want {
			t.Errorf("%q is %q, want %q", plain, got, want)
		}
	}
}

// Each command and each flag can be completed. `make deploy-check` asks bash itself.
func TestTheCompletionNamesAll(t *testing.T) {
	script := written(t, "bash")
	for _, c := range command.Pages() {
		if !strings.Contains(script, "'"+c.Name+" ") && !strings.Contains(script, " "+c.Name+" ") && !strings.Contains(script, " "+c.Name+"'") {
			t.Errorf("the completion does not name the command %s", c.Name)
		}
		for flag, values := range c.Flags() {
			for _, word := range append(values, flag) {
				if !strings.Contains(script, word) {
					t.Errorf("the completion of %s does not name %s", c.Name, word)
				}
			}
		}
	}
}

func TestUnknownArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"man"}, {"bash", "more"}, {"zsh"}} {
		if err := write(&strings.Builder{}, args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
