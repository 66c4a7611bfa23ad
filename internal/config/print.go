package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"holdfast/internal/shown"
)

// Setting is what `holdfast env` says about one variable.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"` // the effective one
	From    string `json:"from"`
	Default string `json:"default"`
	Meaning string `json:"meaning"`
}

// Where a value came from. If it came from another variable, that one's name stands
// here instead.
const (
	fromDefault     = "default"
	fromEnvironment = "environment"
	fromNowhere     = "not set"
	fromOthers      = "derived" // worked out from several
)

// Formats are the ways to print settings. Of an empty environment, markdown is the
// table of the README, and dotenv is the example file.
var Formats = map[string]func(io.Writer, []Setting) error{
	"table":    writeTable,
	"markdown": writeMarkdown,
	"dotenv":   writeDotenv,
	"json":     writeJSON,
}

// Describe returns the Setting of each variable in environ, and every problem with
// environ.
func Describe(environ []string) ([]Setting, Problems) {
	s := readSettings(environ)
	c, found := s.config()
	return s.list(c, found), found
}

// list describes all variables. c is the configuration of s. A value that was refused
// may hold a password in the wrong place, and is shown without what may be one.
func (s settings) list(c Config, refused Problems) []Setting {
	bad := map[string]bool{}
	for _, p := range refused {
		bad[p.Variable] = true
	}
	var all []Setting
	for _, v := range variables {
		value, from := s.effective(v)
		switch {
		case v.secret:
			value, from = s.conceal(v.name)
		case v.name == userTimeoutName && value == "":
			value, from = inSeconds(c.TCPUserTimeout), fromOthers
		case bad[v.name] || bad[from]:
			value = shown.Printable(shown.Hidden(value))
		}
		switch from {
		case v.name:
			from = fromEnvironment
		case "":
			from = fromDefault
			if v.def == "" {
				from = fromNowhere
			}
		}
		all = append(all, Setting{v.name, value, from, cmp.Or(v.def, v.parent), v.meaning})
	}
	return all
}

// WriteDefaults writes every variable with its default and its meaning.
func WriteDefaults(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range variables {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", v.name, cmp.Or(v.def, v.parent), plain(v.meaning))
	}
	table.Flush()
}

func writeTable(w io.Writer, all []Setting) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tVALUE\tFROM\tMEANING")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, s.Value, s.From, plain(s.Meaning))
	}
	return table.Flush()
}

// writeMarkdown writes a column for set values only if there are any.
func writeMarkdown(w io.Writer, all []Setting) error {
	var b strings.Builder
	anySet := false
	for _, s := range all {
		anySet = anySet || s.From == fromEnvironment
	}
	row := func(name, def, meaning, set string) {
		fmt.Fprintf(&b, "| %s | %s | %s |", name, def, meaning)
		if anySet {
			fmt.Fprintf(&b, " %s |", set)
		}
		b.WriteByte('\n')
	}
	row("variable", "default", "meaning", "set to")
	row("---", "---", "---", "---")
	for _, s := range all {
		set := ""
		if s.From == fromEnvironment {
			set = s.Value
		}
		row(code(s.Name), code(s.Default), s.Meaning, code(set))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// code returns text in Markdown's code style, for a cell of a table.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// writeDotenv comments out what is not set, since a copied default would outlive the
// version whose default it is. It comments out secrets too.
func writeDotenv(w io.Writer, all []Setting) error {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "# %s\n", plain(s.Meaning))
		if s.From != fromEnvironment || s.Value == redacted {
			b.WriteByte('#')
		}
		fmt.Fprintf(&b, "%s=%s\n", s.Name, dotenvQuoted(s.Value))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dotenvQuoted quotes a value where systemd, Docker Compose or a shell would
// read it as something else.
func dotenvQuoted(value string) string {
	special := strings.ContainsFunc(value, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:/%[]@+=", r))
	})
	switch {
	case !special:
		return value
	case !strings.Contains(value, "'"):
		return "'" + value + "'"
	}
	return strconv.Quote(value)
}

func writeJSON(w io.Writer, all []Setting) error {
	for i := range all {
		all[i].Meaning = plain(all[i].Meaning)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}
