package command

import (
	"regexp"
	"strings"
)

// A Page is what a manual says of one command.
type Page struct {
	Name    string
	Args    string // as the usage text shows them
	Does    string
	Details []string
}

// Pages returns the page of each command.
func Pages() (all []Page) {
	for _, c := range commands() {
		all = append(all, Page{c.name, c.args, c.does, details[c.name]})
	}
	return all
}

// Flags returns the flags of the command, and for each of them the values that it may
// have. A flag that has none is alone, or takes any value.
func (p Page) Flags() map[string][]string {
	flags := map[string][]string{}
	for _, found := range regexp.MustCompile(`-([a-z]+)(?: ([a-z]+(?:\|[a-z]+)+))?`).FindAllStringSubmatch(p.Args, -1) {
		flags["-"+found[1]] = nil
		if found[2] != "" {
			flags["-"+found[1]] = strings.Split(found[2], "|")
		}
	}
	return flags
}
