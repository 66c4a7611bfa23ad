package command

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"holdfast/internal/config"
)

// help prints the help for the command that args name, or for the program.
func help(p process, args []string) int {
	flags := flag.NewFlagSet("help", flag.ContinueOnError)
	about := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		about, args = args[0], args[1:]
	}
	if code, ok := p.parse(flags, args); !ok {
		return code
	}
	if about != "" && about != "help" {
		return helpWith(p, about)
	}
	fmt.Fprint(p.stdout, "Holdfast is a WebSocket keepalive proxy. It pings both sides, answers their pings,\n"+
		"and ends both when one stops answering.\n\n")
	writeCommands(p.stdout)
	fmt.Fprint(p.stdout, "\nExit codes: 0 clean; 1 runtime error, or a shutdown that had to cut sessions;\n"+
		"2 usage; 78 bad configuration.\n\nEnvironment variables and their defaults:\n\n")
	config.WriteDefaults(p.stdout)
	return exitOK
}

// helpWith prints the help for one command.
func helpWith(p process, name string) int {
	c, ok := commandNamed(name)
	if !ok {
		return p.misused(unknown(name))
	}
	fmt.Fprintf(p.stdout, "usage: holdfast %s\n\n  %s\n\nholdfast -h lists all commands and environment variables.\n", c.call(), c.does)
	return exitOK
}

// call returns the name of c and its arguments, for the usage text.
func (c command) call() string { return strings.TrimSpace(c.name + " " + c.args) }

func writeCommands(w io.Writer) {
	fmt.Fprint(w, "usage: holdfast [command]\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", c.call(), c.does)
	}
	table.Flush()
}
