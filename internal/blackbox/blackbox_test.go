package blackbox

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

const patience = 20 * time.Second

func TestProcess(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "echo hello >&2; read line")
	if _, err := cmd.StdinPipe(); err != nil { // nothing comes from it
		t.Fatal(err)
	}
	p := Start(t, "a shell", cmd, patience)
	p.Until("it has said hello", func() bool { return p.Stderr.String() == "hello\n" })
	if p.HasEnded() {
		t.Errorf("it has ended: %v", p.Err)
	}
	p.Freezes()
	p.Thaws()
	p.IsKilled()
	if !p.HasEnded() || p.Err == nil {
		t.Errorf("after its end it is there: %v, %v", !p.HasEnded(), p.Err)
	}
}

func TestProcessThatEnds(t *testing.T) {
	if code := Start(t, "a shell", exec.Command("/bin/sh", "-c", "exit 3"), patience).WantsEnd(); code != 3 {
		t.Errorf("its exit code is %d, want 3", code)
	}
}

func TestScrape(t *testing.T) {
	s := Scrape{t, []byte("# HELP a b\na 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3.5\n" +
		Dropped("client", "eof") + " 0\n" + Dropped("client", "reset") + " 2\n")}
	for name, want := range map[string]float64{"a": 1, "b": 5.5, `b{x="2"}`: 3.5, Dropped("client", "reset"): 2} {
		if got := s.Value(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got, want := s.Drops(), Dropped("client", "reset")+" 2\n"; got != want {
		t.Errorf("drops are %q, want %q", got, want)
	}
}

func TestDescriptors(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, target := range descriptors(t, "/proc/self/fd") {
		if target == os.DevNull {
			return
		}
	}
	t.Errorf("%s is open and not listed", os.DevNull)
}
