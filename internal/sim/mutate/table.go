package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The table of a page stands between these lines.
const (
	tableBegin = "<!-- go run ./internal/sim/mutate -write docs/reliability.md writes this table -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

var errNoTable = errors.New("the page has no place for the table")

// writeTable replaces the table of a page.
func writeTable(page string, trials []trial) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !found || !ends {
		return fmt.Errorf("%s: %w", page, errNoTable)
	}
	return os.WriteFile(page, []byte(before+tableBegin+"\n"+table(trials)+"\n"+tableEnd+after), 0o644)
}

// table is a Markdown table of mutants that were caught.
func table(trials []trial) string {
	var b strings.Builder
	b.WriteString("| file | what is broken | caught by |\n|---|---|---|\n")
	for _, t := range trials {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", t.file, t.breaks, t.by)
	}
	return b.String()
}
