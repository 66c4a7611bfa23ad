//go:build faults

package faults

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

// A process is a child that ends with its test, at the latest.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed once the process is gone

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
	t.Cleanup(p.isKilled)
	return p
}

func (p *process) await() {
	_ = p.cmd.Wait() // most are killed
	close(p.ended)
}

// isKilled ends the process without a chance to say goodbye, if it has not ended yet.
func (p *process) isKilled() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	if p.t.Failed() {
		p.t.Logf("%s said:\n%s", p.name, p.stderr.last(4<<10))
	}
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
			p.t.Fatalf("%s ended before %s", p.name, what)
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

// A transcript is what a process wrote, readable while it still writes.
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

func (s *transcript) last(n int) string {
	text := s.String()
	return text[max(0, len(text)-n):]
}
