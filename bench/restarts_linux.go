package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	restartSessions = 2000
	restartGrace    = 10 * time.Second // that a proxy is given for its sessions
	restartBack     = 10 * time.Second // that clients are given for their way back, after the watch
)

// runRestarts restarts each proxy under a crowd of idle clients, and prints a table of what
// the clients saw. It returns an error if Holdfast has not told every client.
func runRestarts(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("bench "+commandRestarts, flag.ContinueOnError)
	sessions := flags.Int("sessions", restartSessions, "sessions of each proxy")
	grace := flags.Duration("grace", restartGrace, "what spread and timeouts are set to; each proxy is watched for twice as long")
	page := flags.String("write", "", "a Markdown `page` whose table of restarts is to be replaced")
	install := flags.Bool("install", true, "on Debian as root, install the packages of peers that are missing")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 || *sessions < 1 || *grace < time.Second {
		return errors.New("restarts needs at least one session and a second of grace, and takes no arguments but flags")
	}
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{dir: dir}
	b.params.Sessions, b.install = *sessions, *install
	ways := restarts(*grace)
	for _, way := range ways {
		b.targets = append(b.targets, way.target)
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	report := restartReport{sessions: *sessions, watch: 2 * *grace}
	for _, way := range ways {
		if err := b.addRestart(ctx, &report, way); err != nil {
			return fmt.Errorf("%s: %w", way.title, err)
		}
	}
	text := report.markdown()
	fmt.Print(text)
	if err := report.broken(); err != nil || *page == "" {
		return err
	}
	return replaceTable(*page, text)
}

// addRestart measures one way, and adds it to the report. It skips a way whose program is
// not there.
func (b *bench) addRestart(ctx context.Context, report *restartReport, way restart) error {
	path, version, err := way.find(ctx, b.programs)
	if err != nil {
		progress("%s is not measured: %v", way.title, err)
		report.missing = append(report.missing, oneLine(err.Error()))
		return nil
	}
	progress("%s: %s", way.title, way.how)
	outcome, err := b.restart(ctx, way, candidate{way.target, path}, report.watch)
	if err != nil {
		return err
	}
	report.ways = append(report.ways, restartColumn{way, version, outcome})
	return nil
}

// restart opens the sessions of a crowd, restarts the proxy, and watches until all clients
// have new sessions and the old processes are gone, or until time is up.
func (b *bench) restart(ctx context.Context, way restart, c candidate, watch time.Duration) (*restarted, error) {
	in, err := b.start(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	defer in.stop()
	next := in
	if way.successor {
		next = &instance{backendAddress: in.backendAddress}
		if err := b.startProxy(ctx, c, next); err != nil {
			return nil, err
		}
		defer next.proxy.stop()
	}
	crowd, err := openCrowd(in.listen, b.params.Sessions)
	if crowd != nil {
		defer crowd.close()
	}
	if err != nil {
		return nil, err
	}
	crowd.next = next.listen
	old, err := way.old(in.root())
	if err != nil {
		return nil, err
	}
	return watchRestart(ctx, crowd, old, watch, func() error { return way.begin(ctx, c.path, in) })
}

// watchRestart begins a restart, and serves the crowd until all is over or time is up. When
// the watch is over, clients whose session has ended still get restartBack for a new one.
func watchRestart(ctx context.Context, c *crowd, old []int, watch time.Duration, begin func() error) (*restarted, error) {
	began := time.Now()
	begun := make(chan error, 1)
	go func() { begun <- begin() }()
	replaced, gone := len(old) > 0, time.Duration(0)
	for c.back < c.open || len(old) > 0 {
		if err := errors.Join(c.turn(), ctx.Err()); err != nil {
			return nil, err
		}
		select {
		case err := <-begun:
			if err != nil {
				return nil, err
			}
		default:
		}
		after := time.Since(began)
		if old = slices.DeleteFunc(old, isGone); len(old) == 0 && gone == 0 {
			gone = after
		}
		if after > watch && (c.back == len(c.ends) || after > watch+restartBack) {
			break
		}
	}
	return &restarted{
		sessions: c.open, told: c.told, cut: c.cut, ends: c.ends,
		asked: c.asked, back: c.back, replaced: replaced, gone: gone,
	}, nil
}

// isGone reports whether a process has ended and was reaped.
func isGone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }
