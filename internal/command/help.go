package command

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/shown"
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
	fmt.Fprintf(p.stdout, "usage: holdfast %s\n\n%s\n", c.call(), shown.Wrapped(c.does, "  "))
	for _, detail := range details[c.name] {
		fmt.Fprintf(p.stdout, "\n%s\n", shown.Wrapped(detail, "  "))
	}
	fmt.Fprintln(p.stdout, "\nholdfast -h lists all commands and environment variables.")
	return exitOK
}

// details are what the help for one command says beyond the list of all.
var details = map[string][]string{
	"serve": {
		"Takes its configuration from environment variables alone. SIGTERM and SIGINT end it: clients and upstream are sent a Close. A second signal ends it at once. SIGHUP makes it read TLS files again.",
		"Exit codes: 0 clean; 1 runtime error, or sessions had to be cut; 78 bad configuration.",
	},
	"demo": {
		"Runs a service that never pings, a middlebox that forgets silent connections, and clients with and without Holdfast between. It serves a page that shows them, until it is interrupted.",
		"-once: ends by itself, with one line as the result. Exit code 0 if Holdfast kept its promises, else 1.",
	},
	"check": {
		"Reports every problem with the environment, one a line, each with its variable. Warnings do not change the exit code.",
		"-connect: opens a session with the upstream too, as a client would, and pings it. It says how long both took, or what to do.",
		"-path: what that client requests; / unless it is given. A path in HOLDFAST_UPSTREAM is put before it.",
		"-origin: the page whose browser that client is, for services that check Origin; none unless it is given.",
		"Exit codes: 0 all is well; 1 no session with the upstream; 78 bad configuration.",
	},
	"env": {
		"The formats: table for reading; markdown and json for documents and programs; dotenv for docker run --env-file. Secrets are not shown.",
		"Exit codes: 0; 78 bad configuration, which is shown all the same.",
	},
	"healthcheck": {
		"Asks for /readyz at HOLDFAST_ADMIN_LISTEN, and reads no other variable. For images without a shell.",
	},
}

// call returns the name of c and its arguments, for the usage text.
func (c command) call() string { return strings.TrimSpace(c.name + " " + c.args) }

// writeCommands writes the usage of the program: what each command takes and does.
func writeCommands(w io.Writer) {
	fmt.Fprint(w, "usage: holdfast [command]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %s\n%s\n", c.call(), shown.Wrapped(c.does, "      "))
	}
}
