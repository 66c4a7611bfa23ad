package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// A restart is one way in which a proxy is replaced while it has sessions.
type restart struct {
	target
	how string // what was set and done, for the notes
	// successor is whether a second instance runs beside the first, to which clients connect
	// again. Without it they connect to the same address again.
	successor bool
	// old returns the processes that are replaced, given the proxy's main process.
	old func(root int) ([]int, error)
	// begin starts the restart.
	begin func(ctx context.Context, path string, in *instance) error
}

// restarts returns all ways, in the order of the table's columns. What a proxy is given is the spread of
// Holdfast, and the timeout of the others where they have one.
func restarts(given time.Duration) []restart {
	grace := given.String()
	return []restart{
		drained("0s"),
		drained(grace),
		reloadedNginx("nginx", ""),
		reloadedNginx("nginx, `worker_shutdown_timeout`", grace),
		reloadedHAProxy("HAProxy", ""),
		reloadedHAProxy("HAProxy, `hard-stop-after`", grace),
		{
			target: target{name: "caddy", title: "Caddy", find: findPackaged("caddy", "version"), command: startCaddyWithControl},
			how:    "`caddy reload --force`",
			old:    none,
			begin:  reloadCaddy,
		},
	}
}

// drained is Holdfast in a rollout: a second instance is ready, and the first gets SIGTERM.
func drained(spread string) restart {
	command := func(path string, s setting) (*exec.Cmd, error) {
		command, err := startHoldfast("20s")(path, s)
		if err == nil {
			command.Env = append(command.Env, "HOLDFAST_DRAIN_DELAY=0s", "HOLDFAST_DRAIN_SPREAD="+spread)
		}
		return command, err
	}
	return restart{
		target:    target{name: holdfastName, title: "Holdfast, spread " + spread, role: own, find: findHoldfast, command: command},
		how:       "SIGTERM, with `HOLDFAST_DRAIN_DELAY=0s` and `HOLDFAST_DRAIN_SPREAD=" + spread + "`; a second Holdfast runs already, and clients connect to it",
		successor: true,
		old:       itself,
		begin: func(_ context.Context, _ string, in *instance) error {
			return in.proxy.command.Process.Signal(syscall.SIGTERM)
		},
	}
}

func reloadedNginx(title, grace string) restart {
	return restart{
		target: target{name: "nginx", title: title, role: peer, find: findPackaged("nginx", "-v"), command: withGrace(startNginx, grace)},
		how:    "`nginx -s reload`" + setTo("worker_shutdown_timeout", grace),
		old:    workers,
		begin: func(ctx context.Context, path string, in *instance) error {
			return runAll(ctx, path, append(slices.Clone(in.proxy.command.Args[1:]), "-s", "reload"))
		},
	}
}

func reloadedHAProxy(title, grace string) restart {
	master := func(path string, s setting) (*exec.Cmd, error) {
		command, err := startHAProxy(path, s)
		if err == nil {
			command.Args = append(command.Args, "-W")
		}
		return command, err
	}
	return restart{
		target: target{name: "haproxy", title: title, role: peer, find: findPackaged("haproxy", "-v"), command: withGrace(master, grace)},
		how:    "SIGUSR2 to the master of `haproxy -W`" + setTo("hard-stop-after", grace),
		old:    workers,
		begin: func(_ context.Context, _ string, in *instance) error {
			return in.proxy.command.Process.Signal(syscall.SIGUSR2)
		},
	}
}

// setTo says what a setting is, for the notes.
func setTo(name, value string) string {
	if value == "" {
		return ", without `" + name + "`"
	}
	return ", with `" + name + " " + value + "`"
}

func withGrace(start func(string, setting) (*exec.Cmd, error), grace string) func(string, setting) (*exec.Cmd, error) {
	return func(path string, s setting) (*exec.Cmd, error) {
		s.Grace = grace
		return start(path, s)
	}
}

func startCaddyWithControl(path string, s setting) (*exec.Cmd, error) {
	s.Control = s.Admin
	return startCaddy(path, s)
}

// reloadCaddy gives Caddy its own configuration once more. The configuration says where
// Caddy takes it.
func reloadCaddy(ctx context.Context, path string, in *instance) error {
	return runAll(ctx, path, append([]string{"reload", "--force"}, in.proxy.command.Args[2:]...))
}

// runAll runs a program to its end.
func runAll(ctx context.Context, path string, arguments []string) error {
	if output, err := exec.CommandContext(ctx, path, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", path, arguments, err, oneLine(string(output)))
	}
	return nil
}

// itself is for a proxy that is one process, and ends.
func itself(root int) ([]int, error) { return []int{root}, nil }

// workers is for a proxy whose main process stays and gets new workers.
func workers(root int) ([]int, error) {
	all, err := family(root)
	return slices.DeleteFunc(all, func(pid int) bool { return pid == root }), err
}

// none is for a proxy whose only process stays.
func none(int) ([]int, error) { return nil, nil }
