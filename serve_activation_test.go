package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// fileOf is the socket behind one of package net's.
func fileOf(t *testing.T, socket any) *os.File {
	t.Helper()
	file, err := socket.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// Only `holdfast serve` is started by a socket unit.
func TestSocketActivationRefused(t *testing.T) {
	environ := []string{someUpstream, "HOLDFAST_LISTEN=systemd:web"}
	holdfast(environ, "check").wants(t, exitOK, "configuration ok\n", "")
	holdfast(environ, "serve").wants(t, exitConfig, "", `HOLDFAST_LISTEN="systemd:web" wants a socket of systemd, which passed none; start the socket unit`+"\n")
}

// runsMain is set for a process that is to be the program, and not its tests.
const runsMain = "RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runsMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestSocketActivation(t *testing.T) {
	other, web := listen(t, "tcp", "127.0.0.1:0"), listen(t, "tcp", "127.0.0.1:0")
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = []string{runsMain + "=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=other:web",
		someUpstream, "HOLDFAST_LISTEN=systemd:web", "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_LOG_FORMAT=text"}
	cmd.ExtraFiles = []*os.File{fileOf(t, other), fileOf(t, web)}
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
