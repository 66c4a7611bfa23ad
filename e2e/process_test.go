//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pollInterval is the pause between two looks at what can be asked but does not tell.
const pollInterval = 20 * time.Millisecond

// process is a child that ends with its test, at the latest.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd

	ended chan struct{} // closed once the process is gone and err is set
	err   error

	stderr transcript
}

// start runs cmd. Whoever wants its output sets cmd.Stdout before.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &p.stderr
	// A stopped child would outlive a test binary that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go p.await()
	t.Cleanup(p.stop)
	return p
}

func (p *process) await() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

func (p *process) stop() {
	select {
	case <-p.ended:
	default:
		p.cmd.Process.Kill()
		<-p.ended
	}
	if p.t.Failed() {
		p.t.Logf("%s said:\n%s", p.name, p.stderr.String())
	}
}

// hasEnded waits for the process's end and returns its exit code.
func (p *process) hasEnded() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// until waits for something that can only be asked for.
func (p *process) until(what string, isSo func() bool) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for !isSo() {
		select {
		case <-again.C:
		case <-p.ended:
			p.t.Fatalf("%s ended (%v) before %s", p.name, p.err, what)
		case <-deadline.C:
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

func (p *process) freezes() { p.t.Helper(); p.signal(syscall.SIGSTOP) }
func (p *process) thaws()   { p.t.Helper(); p.signal(syscall.SIGCONT) }

// isKilled ends the process without a chance to say goodbye.
func (p *process) isKilled() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// transcript is what a process wrote, readable while it still writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
