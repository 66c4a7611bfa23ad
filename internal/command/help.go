package command

import (
	"fmt"
	"io"
	"text/tabwriter"

	"holdfast/internal/config"
)

func help(p process, args []string) int {
	if code, ok := p.parseNone("help", args); !ok {
		return code
	}
	fmt.Fprint(p.stdout, "Holdfast is a WebSocket keepalive proxy. It pings both sides, answers their pings,\n"+
		"and ends both when one stops answering.\n\n")
	writeCommands(p.stdout)
	fmt.Fprint(p.stdout, "\nExit codes: 0 clean; 1 runtime error, or a shutdown that had to cut sessions;\n"+
		"2 usage; 78 bad configuration.\n\nEnvironment variables and their defaults:\n\n")
	config.WriteDefaults(p.stdout)
	return exitOK
}

func writeCommands(w io.Writer) {
	fmt.Fprint(w, "usage: holdfast [command]\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		call := c.name
		if c.args != "" {
			call += " " + c.args
		}
		fmt.Fprintf(table, "  %s\t%s\n", call, c.does)
	}
	table.Flush()
}
