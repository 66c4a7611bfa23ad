package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A trial is what became of a mutant.
type trial struct {
	mutant
	by    string // the kept plan or the first seed that has caught it
	found string // what was wrong there
	err   error  // it could not be tried
}

func (t *trial) caught() bool { return t.err == nil && t.found != "" }

// String is a line about the trial.
func (t trial) String() string {
	switch {
	case t.err != nil:
		return fmt.Sprintf("%s: FAILED: %v", t.name, t.err)
	case t.found == "":
		return fmt.Sprintf("%s: SURVIVED", t.name)
	default:
		return fmt.Sprintf("%s: %s: %s", t.name, t.by, t.found)
	}
}

// try builds the simulation with a mutant, and plays the plans that are kept, and then
// seeds, until one catches it.
func try(m mutant, seeds int) trial {
	t := trial{mutant: m}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		t.err = err
		return t
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left is in the system's directory for that
	sim := filepath.Join(dir, "sim")
	if t.err = m.build(dir, sim); t.err == nil {
		t.by, t.found, t.err = play(sim, seeds)
	}
	return t
}

// build builds the simulation with the changed file in the place of the real one.
func (m *mutant) build(dir, sim string) error {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return err
	}
	changed, err := m.apply(string(text))
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		return err
	}
	real, err := filepath.Abs(m.file)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {real: file}})
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return err
	}
	out, err := exec.Command("go", "build", "-overlay", list, "-o", sim, "./internal/sim").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// patience is how long the seeds of one mutant may take. A mutant that lets a turn go on
// for ever is caught by it.
const patience = 5 * time.Minute

var broken = regexp.MustCompile(`(?m)^seed (\d+): (?:at \S+: )?(.*)$`)

// kept are the plans that have found a fault before.
const kept = "internal/sim/testdata/*.json"

// play plays the kept plans, and then seeds from 1 on, in one thread.
func play(sim string, seeds int) (by, found string, err error) {
	plans, err := filepath.Glob(kept)
	if err != nil {
		return "", "", err
	}
	for _, plan := range plans {
		if _, found, err = playWith(sim, "-plan", plan); found != "" || err != nil {
			return "the plan " + strings.TrimSuffix(filepath.Base(plan), ".json"), found, err
		}
	}
	seed, found, err := playWith(sim, "-workers", "1", "-enough", "1", "-seeds", strconv.Itoa(seeds))
	return "seed " + seed, found, err
}

// playWith runs the simulation once, and returns the first seed that broke a promise.
func playWith(sim string, arguments ...string) (seed, found string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, sim, arguments...).CombinedOutput()
	_, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return "", "", nil
	case ctx.Err() != nil:
		return "that does not end", "it does not end", nil
	case !exited:
		return "", "", err
	}
	first := broken.FindSubmatch(bytes.TrimSpace(out))
	if first == nil {
		return "", "", fmt.Errorf("%w: %s", err, out)
	}
	return string(first[1]), string(first[2]), nil
}
