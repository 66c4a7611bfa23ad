package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// spareSessions is how many descriptors a proxy may need in addition to two for each
// session. The connection limits of the proxies are higher than needed by as much.
const spareSessions = 1000

// A candidate is a target whose program has been found.
type candidate struct {
	target
	path string
}

// A bench is one run.
type bench struct {
	options
	programs    programs
	dir         string // temporary, for the proxies' files
	certificate *certificate
	openFiles   int
	results     *results
}

// run measures the selected scenarios and targets, and writes the report.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{options: o, dir: dir}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	candidates := b.findAll(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, s := range b.scenarios {
		for round := range b.rounds {
			if s.once && round > 0 {
				break
			}
			if err := b.round(ctx, s, round, candidates); err != nil {
				return err
			}
		}
	}
	b.results.Finished = time.Now()
	if err := b.results.write(b.out, os.Stdout); err != nil {
		return err
	}
	if n := len(b.results.Failures); n > 0 {
		return fmt.Errorf("%d measurements failed; the notes under the table say why", n)
	}
	return nil
}

// prepare raises the limit on open files, installs what is missing, makes the
// certificate and builds Holdfast.
func (b *bench) prepare(ctx context.Context) error {
	limit, err := raiseOpenFiles(2*b.params.Sessions + 2*spareSessions)
	if err != nil {
		return err
	}
	b.openFiles = limit
	if most := (limit - 2*spareSessions) / 2; b.params.Sessions > most {
		return fmt.Errorf("a process may have %d files open: enough for -sessions %d", limit, most)
	}
	if b.install {
		if err := installMissing(ctx, b.targets); err != nil {
			return err
		}
	}
	if b.certificate, err = makeCertificate(b.dir); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if b.programs.self, err = os.Executable(); err != nil {
		return err
	}
	b.programs.holdfast = filepath.Join(b.dir, holdfastName)
	b.programs.buildErr = buildHoldfast(ctx, b.programs.holdfast)
	b.results = newResults(b.options, hostEnvironment(limit))
	return nil
}

// raiseOpenFiles raises the limit of open files to want, or to the hard limit if that is
// lower. The limit holds for all processes that this one starts.
func raiseOpenFiles(want int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = min(limit.Max, uint64(want))
	return int(limit.Cur), os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}

// buildHoldfast builds the module's main package.
func buildHoldfast(ctx context.Context, to string) error {
	output, err := exec.CommandContext(ctx, "go", "build", "-o", to, "holdfast").CombinedOutput()
	if err != nil {
		return fmt.Errorf("it does not build: %w: %s", err, oneLine(string(output)))
	}
	return nil
}

// findAll returns the targets that serve a session. It reports those that do not, and they
// are not measured.
func (b *bench) findAll(ctx context.Context) []candidate {
	var found []candidate
	for _, t := range b.targets {
		c, version, err := b.find(ctx, t)
		if err != nil {
			progress("%s is not measured: %v", t.title, err)
			b.results.unavailable(t, err)
			continue
		}
		b.results.available(t, version)
		found = append(found, c)
	}
	return found
}

// find looks for a target's program and tests whether it serves a session.
func (b *bench) find(ctx context.Context, t target) (candidate, string, error) {
	c := candidate{target: t}
	var version string
	if t.find != nil {
		var err error
		if c.path, version, err = t.find(ctx, b.programs); err != nil {
			return candidate{}, "", err
		}
	}
	in, err := b.start(ctx, c, nil)
	if err != nil {
		return candidate{}, "", err
	}
	in.stop()
	return c, version, nil
}

// A resting instance has had its load. Its memory is read after a rest.
type resting struct {
	candidate candidate
	instance  *instance
	values    map[string]float64
	until     time.Time
}

// round measures one scenario on each target. It returns an error only if ctx ends.
func (b *bench) round(ctx context.Context, s scenario, round int, candidates []candidate) error {
	var rest []resting
	defer func() {
		for _, r := range rest {
			r.instance.stop()
		}
	}()
	for _, t := range candidates {
		if !t.takesPart(s) {
			continue
		}
		in, values, err := b.measure(ctx, s, t)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		progress("%s, round %d, %s: %s", s.name, round+1, t.title, verdict(err))
		switch {
		case err != nil:
			b.results.failed(t.target, s, err)
		case in == nil:
			b.results.add(t.target, s, values)
		default:
			rest = append(rest, resting{t, in, values, time.Now().Add(b.params.Rest)})
		}
	}
	return b.awaitRest(ctx, s, rest)
}

// measure starts a target and loads it. If the scenario has afterRest, measure returns the
// running instance. Otherwise it stops the instance and returns nil.
func (b *bench) measure(ctx context.Context, s scenario, t candidate) (*instance, map[string]float64, error) {
	var certificate *certificate
	if s.tls {
		certificate = b.certificate
	}
	in, err := b.start(ctx, t, certificate)
	if err != nil {
		return nil, nil, err
	}
	values, err := b.load(ctx, s, in)
	if err == nil && s.afterRest != nil && in.proxy != nil {
		return in, values, nil
	}
	in.stop()
	return nil, values, err
}

// awaitRest waits until the instances have rested, and adds their memory to their values.
func (b *bench) awaitRest(ctx context.Context, s scenario, rest []resting) error {
	for _, r := range rest {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(r.until)):
		}
		m, err := newMeter(r.instance.root())
		if err != nil {
			b.results.failed(r.candidate.target, s, err)
			continue
		}
		memory, err := m.memory()
		if err != nil {
			b.results.failed(r.candidate.target, s, err)
			continue
		}
		s.afterRest(r.values, memory)
		b.results.add(r.candidate.target, s, r.values)
	}
	return nil
}

func verdict(err error) string {
	if err != nil {
		return "FAILED: " + err.Error()
	}
	return "done"
}

// progress prints a line to standard error. Standard output is for the table.
func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
