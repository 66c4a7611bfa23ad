// Command bench compares Holdfast with nginx, HAProxy, Caddy, a plain
// httputil.ReverseProxy and no proxy at all, on one Linux machine.
//
//	go run ./bench             # everything, about half an hour
//	go run ./bench -quick      # a smoke run of about a minute
//	go run ./bench restarts    # what a restart does to sessions, about three minutes
//
// It prints a Markdown table. It writes the table, all samples as JSON and some plots to
// the directory of -out. README.md in this directory says what is measured and how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if err := dispatch(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// First arguments with which bench starts itself again, for parts that must be processes
// of their own.
const (
	commandBackend = "backend"
	commandLoad    = "load"
	commandNetHTTP = "nethttp"
	commandBare    = "bare"
)

// commandRestarts is the first argument of the command that compares restarts.
const commandRestarts = "restarts"

func dispatch() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case commandBackend:
			debug.SetGCPercent(400) // this uses more memory, but leaves the proxy more CPU time
			return runBackend()
		case commandLoad:
			debug.SetGCPercent(400)
			return runLoad()
		case commandNetHTTP:
			return runNetHTTP(os.Args[2:])
		case commandBare:
			return runBare(os.Args[2:])
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := measure(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// measure does what the command line asks for.
func measure(ctx context.Context, arguments []string) error {
	if len(arguments) > 0 && arguments[0] == commandRestarts {
		return runRestarts(ctx, arguments[1:])
	}
	o, err := parseFlags(arguments)
	if err != nil {
		return err
	}
	return run(ctx, o)
}

// options are the options of the command line.
type options struct {
	scenarios []scenario
	targets   []target
	rounds    int
	params    params
	out       string
	install   bool
}

func parseFlags(arguments []string) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	scenarioList := flags.String("scenarios", "", "comma-separated `list`, default all: "+strings.Join(scenarioNames(), ", "))
	targetList := flags.String("targets", "", "comma-separated `list`, default all: "+strings.Join(targetNames(), ", "))
	rounds := flags.Int("rounds", 3, "how often each proxy is measured; the table has the medians")
	sessions := flags.Int("sessions", 0, "sessions of the scenarios with many (default 9000, with -quick 500)")
	quick := flags.Bool("quick", false, "a smoke run: one short round, too short for reliable figures")
	out := flags.String("out", "bench/out", "`directory` for the table, the JSON and the plots")
	install := flags.Bool("install", true, "on Debian as root, install the packages of peers that are missing")
	if err := flags.Parse(arguments); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o := options{rounds: *rounds, params: defaultParams(), out: *out, install: *install}
	if *quick {
		o.rounds, o.params = 1, quickParams()
	}
	if *sessions > 0 {
		o.params.Sessions = *sessions
	}
	if o.rounds < 1 || o.params.Sessions < 2*mixedBusy {
		return options{}, fmt.Errorf("at least 1 round and %d sessions are needed", 2*mixedBusy)
	}
	var err error
	if o.scenarios, err = selectScenarios(*scenarioList); err != nil {
		return options{}, err
	}
	o.targets, err = selectTargets(*targetList)
	return o, err
}

// selectScenarios returns the scenarios in list, in the order of the table.
func selectScenarios(list string) ([]scenario, error) {
	wanted, err := splitList(list, scenarioNames(), "scenario")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(scenarios(), func(s scenario) bool { return !slices.Contains(wanted, s.name) }), nil
}

func selectTargets(list string) ([]target, error) {
	wanted, err := splitList(list, targetNames(), "target")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(targets(), func(t target) bool { return !slices.Contains(wanted, t.name) }), nil
}

// splitList splits a comma-separated list of names. An empty list means all known names.
func splitList(list string, known []string, kind string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no %s %q; there are: %s", kind, name, strings.Join(known, ", "))
		}
	}
	return names, nil
}
