package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"holdfast/internal/shown"
)

// Setting is what `holdfast env` prints about one variable.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"` // the effective value
	From    string `json:"from"`
	Default string `json:"default"`
	Meaning string `json:"meaning"`

	secret  bool // Value is not shown
	refused bool // Value has a problem
	partly  bool // the parts of Value that may be secrets are not shown
}

// The values of Setting.From. If a value came from another variable, From is the name of
// that variable.
const (
	fromDefault     = "default"
	fromEnvironment = "environment"
	fromNowhere     = "not set"
	fromOthers      = "derived" // computed from several variables
)

// Formats are the ways to print settings. For an empty environment, markdown prints the
// table of the README, and dotenv prints the example file.
var Formats = map[string]func(io.Writer, []Setting) error{
	"table":    writeTable,
	"markdown": writeMarkdown,
	"dotenv":   writeDotenv,
	"json":     writeJSON,
}

// Describe returns a Setting for each variable, and every problem with environ.
func Describe(environ []string) ([]Setting, Problems) {
	s := readSettings(environ)
	c, found := s.config()
	return s.list(c, found), found
}

// list returns a Setting for each variable. c is the configuration of s. A refused value
// may contain a password in the wrong place, so the parts that may be secrets are left out.
// The value is not escaped: each format does that in its own way.
func (s settings) list(c Config, refused Problems) []Setting {
	bad := map[string]bool{}
	for _, p := range refused {
		bad[p.Variable] = true
	}
	var all []Setting
	for _, v := range variables {
		value, from := s.effective(v)
		refused := bad[v.name] || bad[from]
		partly := false
		switch {
		case v.secret:
			value, from = s.conceal(v.name)
		case v.name == userTimeoutName && value == "":
			value, from = inSeconds(c.TCPUserTimeout), fromOthers
		case v.hasFile && s.giver(v.name) == v.name+fileSuffix:
			value, from, _ = s.reveal(v)
			if refused = bad[from]; refused && value != "" { // it may be the wrong file
				value, partly = "…", true
			}
		case refused:
			rest := shown.Hidden(value)
			value, partly = rest, rest != value
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
		all = append(all, Setting{v.name, value, from, cmp.Or(v.def, v.parent), v.meaning, v.secret, refused, partly})
	}
	return all
}

// WriteDefaults writes every variable with its default and its meaning, for a terminal.
func WriteDefaults(w io.Writer) {
	for _, v := range variables {
		def := cmp.Or(v.def, v.parent)
		if def != "" {
			def = " (" + def + ")"
		}
		fmt.Fprintf(w, "  %s%s\n%s\n", v.name, def, shown.Wrapped(plain(v.meaning), "      "))
	}
}

// printable returns the value on one line, for people. A value that was refused may be of
// any length, and is cut.
func (s Setting) printable() string {
	if s.refused {
		return shown.Printable(s.Value)
	}
	return shown.Escaped(s.Value)
}

func writeTable(w io.Writer, all []Setting) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tVALUE\tFROM\tMEANING")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, s.printable(), s.From, plain(s.Meaning))
	}
	return table.Flush()
}

// writeMarkdown writes a column for set values only if any variable is set.
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
			set = s.printable()
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

// writeDotenv writes what docker run --env-file reads back as it was: it takes the rest of
// a line for the value, and knows no quotes. Variables that are not set are commented out:
// a copied default would stay when a later version changes the default. Secrets are
// commented out too. So are values that are shown only in part: a reader would get another
// value, which might be accepted.
func writeDotenv(w io.Writer, all []Setting) error {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "# %s\n", plain(s.Meaning))
		value, note := dotenvValue(s.Value)
		switch {
		case s.Value == redacted:
			note = notShown
		case s.partly:
			note = notWhole
		}
		if s.From == fromEnvironment && note != "" {
			fmt.Fprintf(&b, "# %s\n", note)
		}
		if s.From != fromEnvironment || note == notShown || note == notWhole || note == notInFiles {
			b.WriteByte('#')
		}
		fmt.Fprintf(&b, "%s=%s\n", s.Name, value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	notShown   = "This value is a secret, and is not shown."
	notWhole   = "A part of this value may be a secret, and is not shown."
	notInFiles = "This value cannot stand in such a file; set the variable in another way."
	asItIs     = "For docker's --env-file. Docker Compose, systemd and shells read this value otherwise: put it in single quotes there."
)

// dotenvValue returns a value as it stands in a file for docker, and a note on readers
// that would read something else.
func dotenvValue(value string) (text, note string) {
	isPlain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:/%[]@+=,*", r)
	}
	switch {
	case !utf8.ValidString(value) || strings.ContainsAny(value, "\n\r\x00"):
		return strconv.Quote(value), notInFiles
	case strings.ContainsFunc(value, func(r rune) bool { return !isPlain(r) }):
		return value, asItIs
	}
	return value, ""
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
