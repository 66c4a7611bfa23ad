package command

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/internal/leak"
)

// Only `holdfast serve` is started by a socket unit.
func TestSocketActivationRefused(t *testing.T) {
	environ := []string{someUpstream, "HOLDFAST_LISTEN=systemd:web"}
	holdfast(environ, "check").wants(t, exitOK, checked, "")
	holdfast(environ, "serve").wants(t, exitConfig, "", `HOLDFAST_LISTEN="systemd:web" needs a socket from systemd, which passed none; start the socket unit`+"\n")
}

// runsMain is set for a process that is to be the program, and not its tests.
const runsMain = "RUNS_MAIN"

// TestMain wants back whatever the tests took.
func TestMain(m *testing.M) {
	if os.Getenv(runsMain) != "" {
		os.Exit(Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	// The runtime keeps one goroutine for signals from the first time on.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	signal.Stop(signals)
	os.Exit(leak.Check(m.Run))
}

func TestSocketActivation(t *testing.T) {
	other, web := fixture.Listen(t, "tcp", "127.0.0.1:0"), fixture.Listen(t, "tcp", "127.0.0.1:0")
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = []string{runsMain + "=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=other:web",
		someUpstream, "HOLDFAST_LISTEN=systemd:web", "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_LOG_FORMAT=text", "HOLDFAST_DRAIN_DELAY=0s"}
	cmd.ExtraFiles = []*os.File{fixture.File(t, other), fixture.File(t, web)}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	if lines.Scan(); !strings.Contains(lines.Text(), "listen="+web.Addr().String()) {
		t.Errorf("its first line is %q, want it to listen on %v", lines.Text(), web.Addr())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	for lines.Scan() { // until it has ended
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// The address of a socket that systemd passes is known when it is there.
func TestSocketActivationRefusesALoop(t *testing.T) {
	web := fixture.Listen(t, "tcp", "127.0.0.1:0")
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = []string{runsMain + "=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web",
		"HOLDFAST_UPSTREAM=ws://" + web.Addr().String(), "HOLDFAST_LISTEN=systemd:web", "HOLDFAST_ADMIN_LISTEN=off"}
	cmd.ExtraFiles = []*os.File{fixture.File(t, web)}
	out, _ := cmd.CombinedOutput()
	want := "leads back to this proxy, which listens on " + web.Addr().String() + ", the socket that systemd has passed"
	if cmd.ProcessState.ExitCode() != exitConfig || !strings.Contains(string(out), want) {
		t.Errorf("exit code %d, %s; want %d, and one with %s", cmd.ProcessState.ExitCode(), out, exitConfig, want)
	}
}

// Signals that go on until the process has ended do not change how it ends: it writes the
// last lines of its log, and its exit code is its own.
func TestSignalsUntilTheEnd(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{runsMain + "=1", someUpstream, "HOLDFAST_LISTEN=127.0.0.1:0", "HOLDFAST_ADMIN_LISTEN=off",
		"HOLDFAST_LOG_FORMAT=text", "HOLDFAST_DRAIN_DELAY=0s"}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	lines.Scan() // it has started
	stop := make(chan struct{})
	signalled := make(chan struct{})
	go func() {
		defer close(signalled)
		for {
			select {
			case <-stop:
				return
			default:
				_ = cmd.Process.Signal(syscall.SIGTERM) // it fails once the process has ended
			}
		}
	}()
	ends := false
	for lines.Scan() {
		ends = ends || strings.Contains(lines.Text(), "holdfast ends")
	}
	err = cmd.Wait()
	close(stop)
	<-signalled
	if err != nil || !ends {
		t.Errorf("it ended with %v, and it says so: %v", err, ends)
	}
}
