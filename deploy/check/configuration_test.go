package check

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// accepted wants `holdfast check` to accept an environment without a warning, and returns
// how long a stop takes at most.
func accepted(t *testing.T, environ []string) time.Duration {
	t.Helper()
	cmd := exec.Command(binary(), "check")
	cmd.Env = environ
	out := ran(t, cmd)
	if strings.Contains(strings.ToLower(out), "warning") {
		t.Errorf("%q:\n%s", environ, out)
	}
	said := regexp.MustCompile(`a stop takes (\S+) at most`).FindStringSubmatch(out)
	if said == nil {
		t.Fatalf("`holdfast check` does not say how long a stop takes:\n%s", out)
	}
	longest, err := time.ParseDuration(said[1])
	if err != nil {
		t.Fatal(err)
	}
	return longest
}

// stopsInTime wants the supervisor to wait longer than a stop takes.
func stopsInTime(t *testing.T, environ []string, grace time.Duration) {
	t.Helper()
	if longest := accepted(t, environ); grace <= longest {
		t.Errorf("the supervisor waits for %v, and a stop takes %v", grace, longest)
	}
}

// durationOf returns the effective value of a variable.
func durationOf(t *testing.T, environ []string, name string) time.Duration {
	t.Helper()
	cmd := exec.Command(binary(), "env", "-format", "json")
	cmd.Env = environ
	var all []struct{ Name, Value string }
	if err := json.Unmarshal([]byte(ran(t, cmd)), &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Name == name {
			d, err := time.ParseDuration(v.Value)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("`holdfast env` does not know %s", name)
	return 0
}

// exposes reports whether the proxy has a metric, by the exposition that its tests hold.
func exposes(t *testing.T, name string) bool {
	t.Helper()
	golden, err := filepath.Glob("../../metrics/testdata/*.prom")
	if err != nil || len(golden) == 0 {
		t.Fatalf("metrics/testdata has no exposition: %v", err)
	}
	for _, file := range golden {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "# TYPE "+name+" ") {
			return true
		}
	}
	return false
}
