//go:build e2e

package grafana_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

// Prometheus's own tool parses each expression, as that of a recording rule.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v; `make alerts-check` installs it", err)
	}
	filled := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$job", ".*", "$instance", ".*")
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	i := 0
	for _, expr := range load(t).expressions() {
		i++
		rules += fmt.Sprintf("      - record: panel:%d\n        expr: '%s'\n", i, filled.Replace(expr))
	}
	if out, err := exec.Command(promtool, "check", "rules", fixture.Write(t, "dashboard.yml", rules)).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
