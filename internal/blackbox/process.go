// Package blackbox is for tests that run the holdfast binary between other programs:
// it builds the binary, runs it and its peers as child processes, and reads what the
// binary counts. What the peers do is told by the tests themselves.
package blackbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/fixture"
)

// Build builds the binary in dir and returns its path.
func Build(dir string) (path string, err error) {
	path = filepath.Join(dir, "holdfast")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "holdfast")
	build.Stderr = os.Stderr
	return path, build.Run()
}

// pollInterval is the pause between two looks at what can be asked but does not tell.
const pollInterval = 20 * time.Millisecond

// told is how much of a process's output a failing test shows.
const told = 16 << 10

// A Process is a child that ends with its test, at the latest.
type Process struct {
	T        *testing.T
	Name     string
	Cmd      *exec.Cmd
	Patience time.Duration // how long the process may take to do what a test waits for

	Ended chan struct{} // closed once the process is gone and Err is set
	Err   error         // what Cmd.Wait returned

	Stderr fixture.Transcript
}

// Start runs cmd. A test that wants its output sets cmd.Stdout before.
func Start(t *testing.T, name string, cmd *exec.Cmd, patience time.Duration) *Process {
	t.Helper()
	p := &Process{T: t, Name: name, Cmd: cmd, Patience: patience, Ended: make(chan struct{})}
	cmd.Stderr = &p.Stderr
	// A stopped child would outlive a test binary that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go p.await()
	t.Cleanup(p.stop)
	return p
}

func (p *Process) await() {
	p.Err = p.Cmd.Wait()
	close(p.Ended)
}

func (p *Process) stop() {
	p.IsKilled()
	if p.T.Failed() {
		p.T.Logf("%s said:\n%s", p.Name, p.Stderr.Last(told))
	}
}

// IsKilled ends the process without a chance to say goodbye, if it has not ended yet.
func (p *Process) IsKilled() {
	_ = p.Cmd.Process.Kill() // it fails only if the process has ended
	<-p.Ended
}

// HasEnded reports whether the process is gone.
func (p *Process) HasEnded() bool {
	select {
	case <-p.Ended:
		return true
	default:
		return false
	}
}

// WantsEnd waits for the process's end and returns its exit code.
func (p *Process) WantsEnd() int {
	p.T.Helper()
	select {
	case <-p.Ended:
	case <-time.After(p.Patience):
		p.T.Fatalf("%s does not end", p.Name)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Until waits for something that can only be asked for.
func (p *Process) Until(what string, isSo func() bool) {
	p.T.Helper()
	deadline := time.NewTimer(p.Patience)
	defer deadline.Stop()
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for !isSo() {
		select {
		case <-again.C:
		case <-p.Ended:
			p.T.Fatalf("%s ended (%v) before %s", p.Name, p.Err, what)
		case <-deadline.C:
			p.T.Fatalf("waited in vain for %s", what)
		}
	}
}

// Signal sends a signal to the process, which must be there.
func (p *Process) Signal(s syscall.Signal) {
	p.T.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.T.Fatalf("signal %s: %v", p.Name, err)
	}
}

// Freezes stops the process, whose kernel goes on answering for it.
func (p *Process) Freezes() { p.T.Helper(); p.Signal(syscall.SIGSTOP) }

// Thaws lets a frozen process go on.
func (p *Process) Thaws() { p.T.Helper(); p.Signal(syscall.SIGCONT) }
