//go:build e2e

package prometheus_test

import (
	"os/exec"
	"testing"
)

// Prometheus's own tool reads the configuration and the alerts, and plays their cases.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v; `make alerts-check` installs it", err)
	}
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "--lint=all", "--lint-fatal", "holdfast.rules.yml"},
		{"test", "rules", "holdfast.rules.test.yml"},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
