// Package command is the whole program except for the process around it: every command
// of `holdfast`, its flags, its output and its exit code.
//
// The path through it: Run (command.go) finds the command that the arguments name.
// Each has a file of its own. It parses its flags, asks package config for what it
// needs, and gives values to the package that does the work: daemon, probe or demo.
package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/shown"
)

// Exit codes. 78 is EX_CONFIG of sysexits.h. It tells a supervisor that a restart does not
// help, because the configuration is wrong.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 78
)

// process is the part of the process that a command uses.
type process struct {
	environ        []string
	stdout, stderr io.Writer
}

type command struct {
	name string
	args string // as the usage text shows them
	does string
	run  func(p process, args []string) int
}

// commands is a function because help, one of them, lists them all.
func commands() []command {
	return []command{
		{"serve", "", "run the proxy; what holdfast does without a command", serve},
		{"demo", "[-once]", "show what it is for, without any configuration", showDemo},
		{"check", "[-connect [-path /ws] [-origin https://page]]", "validate the configuration; -connect: also try each upstream", check},
		{"env", "[-format table|markdown|dotenv|json]", "show every variable, its value and where it came from", showEnvironment},
		{"healthcheck", "", "ask the running proxy whether it is ready: exit 0 or 1", healthcheck},
		{"version", "", "print the version", showVersion},
		{"help", "[command]", "print this, or what a command takes; also -h", help},
	}
}

// Run runs the command that args name and returns its exit code. Without args it runs
// serve.
func Run(args, environ []string, stdout, stderr io.Writer) int {
	p := process{environ, stdout, stderr}
	if len(args) == 0 {
		return serve(p, nil)
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	c, ok := commandNamed(name)
	if !ok {
		return p.misused(unknown(name))
	}
	return c.run(p, args[1:])
}

func commandNamed(name string) (c command, ok bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// unknown returns a message that there is no such command, with the nearest name.
func unknown(name string) string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	complaint := "unknown command " + shown.Quoted(name)
	bare := strings.ToLower(strings.TrimLeft(name, "-"))
	if meant := cmp.Or(synonyms[bare], config.Nearest(bare, "", names)); meant != "" {
		complaint += "; did you mean " + meant + "?"
	}
	return complaint
}

// synonyms are what other programs call our commands, and flags without their command.
var synonyms = map[string]string{
	"run": "serve", "start": "serve", "up": "serve", "proxy": "serve",
	"validate": "check", "verify": "check", "test": "check", "config": "check", "configtest": "check", "lint": "check",
	"connect": "check -connect", "probe": "check -connect", "ping": "check -connect",
	"variables": "env", "environment": "env", "settings": "env", "format": "env -format",
	"health": "healthcheck", "ready": "healthcheck", "readyz": "healthcheck", "status": "healthcheck",
	"once": "demo -once", "v": "version", "usage": "help", "?": "help",
}

// nearestFlag returns the end of a message about an unknown flag: the nearest one of the
// command's flags, or nothing.
func nearestFlag(flags *flag.FlagSet, args []string) string {
	var known []string
	flags.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if flags.Lookup(name) != nil || !strings.HasPrefix(arg, "-") {
			continue
		}
		if meant := config.Nearest(name, "", known); meant != "" {
			return "; did you mean -" + meant + "?"
		}
		break
	}
	return ""
}

// parse reads a command's flags from args. If ok is false, the command must end with code
// as its exit code: parse has printed the help or the error.
func (p process) parse(flags *flag.FlagSet, args []string) (code int, ok bool) {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help(p, []string{flags.Name()}), false
	case err != nil:
		return p.misused(shown.Printable(err.Error()) + nearestFlag(flags, args)), false
	case flags.NArg() > 0:
		return p.misused("unexpected argument " + shown.Quoted(flags.Arg(0))), false
	}
	return exitOK, true
}

// parseNone is parse for a command without flags.
func (p process) parseNone(name string, args []string) (code int, ok bool) {
	return p.parse(flag.NewFlagSet(name, flag.ContinueOnError), args)
}

// misused prints what is wrong with the command line and returns the exit code.
func (p process) misused(complaint string) int {
	fmt.Fprintf(p.stderr, "holdfast: %s\n\n", complaint)
	writeCommands(p.stderr)
	return exitUsage
}

// configuration returns the checked configuration with its TLS files. If there is a
// problem with them, it prints every problem and ok is false.
func (p process) configuration() (c config.Config, loaded config.Certificates, ok bool) {
	c, loaded, found := config.Load(p.environ)
	if len(found) > 0 {
		p.refuse(found)
		return config.Config{}, config.Certificates{}, false
	}
	return c, loaded, true
}

func (p process) refuse(found config.Problems) {
	fmt.Fprintln(p.stderr, found)
	if found.OnlyUpstreamMissing() {
		fmt.Fprintln(p.stderr, "\nTo see Holdfast at work without configuring anything, run: holdfast demo")
	}
}
