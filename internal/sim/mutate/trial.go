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
	"time"
)

// A trial is what became of a mutant.
type trial struct {
	mutant
	seed  int    // the first that has caught it; 0 if none has
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
		return fmt.Sprintf("%s: seed %d: %s", t.name, t.seed, t.found)
	}
}

// try builds the simulation with a mutant, and plays seeds until one catches it.
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
		t.seed, t.found, t.err = play(sim, seeds)
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

// play plays seeds in one thread, from 1 on.
func play(sim string, seeds int) (seed int, found string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, sim, "-workers", "1", "-enough", "1", "-seeds", strconv.Itoa(seeds)).CombinedOutput()
	_, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return 0, "", nil
	case ctx.Err() != nil:
		return 0, "a seed does not end", nil
	case !exited:
		return 0, "", err
	}
	first := broken.FindSubmatch(bytes.TrimSpace(out))
	if first == nil {
		return 0, "", fmt.Errorf("%w: %s", err, out)
	}
	seed, err = strconv.Atoi(string(first[1]))
	return seed, string(first[2]), err
}
