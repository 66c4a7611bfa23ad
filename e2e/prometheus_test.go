//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blackbox"
	"holdfast/internal/fixture"
)

// quicker is how much faster time passes for the alerts of a test than for those that
// are shipped: an hour of theirs is a minute.
const quicker = 60

// A prometheus scrapes proxies and evaluates the shipped alerts, quicker.
type prometheus struct {
	*blackbox.Process
	url string
}

// startPrometheus runs a Prometheus that scrapes the proxies' admin listeners, native
// histograms included.
func startPrometheus(t *testing.T, proxies ...*holdfast) *prometheus {
	t.Helper()
	const pause = "500ms"
	dir := t.TempDir()
	shipped, err := os.ReadFile("../deploy/prometheus/holdfast.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(hastened(string(shipped))), 0o600); err != nil {
		t.Fatal(err)
	}
	config := "global: {scrape_interval: " + pause + ", scrape_timeout: " + pause + ", evaluation_interval: " + pause + "}\n" +
		"rule_files: [" + filepath.Join(dir, "rules.yml") + "]\n" +
		"scrape_configs:\n  - job_name: holdfast\n    static_configs:\n      - targets:\n"
	for _, proxy := range proxies {
		config += "          - " + proxy.scraped() + "\n"
	}
	cmd := exec.Command(tool(t, "prometheus"), "--config.file="+fixture.Write(t, "prometheus.yml", config),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0", "--enable-feature=native-histograms")
	p := &prometheus{Process: start(t, "prometheus", cmd)}
	listens := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	p.Until("it is ready", func() bool {
		found := listens.FindStringSubmatch(p.Stderr.String())
		if found == nil {
			return false
		}
		p.url = "http://" + found[1]
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// scraped is the proxy as the label instance names it.
func (h *holdfast) scraped() string { return strings.TrimPrefix(h.Admin, "http://") }

// hastened makes all times of rules shorter. No peer of the tests takes as long for a pong
// as the alert on round trips wants, so that alert takes any round trip.
func hastened(rules string) string {
	times := regexp.MustCompile(`(\[|:|offset |for: )(\d+)([mhd])\b`)
	rules = times.ReplaceAllStringFunc(rules, func(found string) string {
		part := times.FindStringSubmatch(found)
		n, _ := strconv.Atoi(part[2]) // it is digits
		unit := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[part[3]]
		return part[1] + strconv.FormatInt((time.Duration(n)*unit/quicker).Milliseconds(), 10) + "ms"
	})
	roundTrips := regexp.MustCompile(`(holdfast_ping_rtt_seconds(?:_bucket)?\[\w+\]\)\)) > 10\b`)
	return roundTrips.ReplaceAllString(rules, "$1 > 0")
}

// queryAnswer is what Prometheus says to a query.
type queryAnswer struct {
	Error string
	Data  struct {
		Result []json.RawMessage // one for each series
	}
}

// asks sends a query, and returns how many series are in its answer.
func (p *prometheus) asks(path string, values url.Values) (series int) {
	p.T.Helper()
	response, err := http.Get(p.url + "/api/v1/" + path + "?" + values.Encode())
	if err != nil {
		p.T.Fatal(err)
	}
	defer response.Body.Close()
	var a queryAnswer
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil || a.Error != "" {
		p.T.Fatalf("prometheus answers %q with %q (%v)", values.Get("query"), a.Error, err)
	}
	return len(a.Data.Result)
}

// has reports whether a query has an answer now.
func (p *prometheus) has(query string) bool {
	p.T.Helper()
	return p.asks("query", url.Values{"query": {query}}) > 0
}

// wants waits until a query has an answer.
func (p *prometheus) wants(query string) {
	p.T.Helper()
	p.Until(query, func() bool { return p.has(query) })
}

// hasFired reports whether an alert with these labels has fired since the start.
func (p *prometheus) hasFired(alert, labels string) bool {
	p.T.Helper()
	return p.has(fmt.Sprintf(`count_over_time(ALERTS{alertname="Holdfast%s",alertstate="firing",%s}[1h])`, alert, labels))
}

// wantsAlert waits until an alert with these labels fires.
func (p *prometheus) wantsAlert(alert, labels string) {
	p.T.Helper()
	p.Until(alert+" fires for "+labels, func() bool { return p.hasFired(alert, labels) })
}

// of is the label that names a proxy, and further ones.
func of(proxy *holdfast, labels ...string) string {
	return strings.Join(append(labels, fmt.Sprintf("instance=%q", proxy.scraped())), ",")
}

// A dashboardPanel is what a panel of the dashboard asks for.
type dashboardPanel struct {
	Title   string
	Targets []struct{ Expr string }
}

// shippedPanels are the panels of the dashboard that ask for something, and its annotations.
func shippedPanels(t *testing.T) (panels []dashboardPanel) {
	t.Helper()
	text, err := os.ReadFile("../deploy/grafana/holdfast.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels      []dashboardPanel
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) > 0 {
			panels = append(panels, panel)
		}
	}
	for _, a := range dashboard.Annotations.List {
		panels = append(panels, dashboardPanel{a.Name, []struct{ Expr string }{{a.Expr}}})
	}
	return panels
}

// shows wants each panel to show something of the time since began. A panel of round trips
// asks for classic buckets and for native ones. One of the two answers is enough.
func (p *prometheus) shows(panels []dashboardPanel, began time.Time) {
	p.T.Helper()
	filled := strings.NewReplacer("$__rate_interval", "5s", "$__range", "1m", "$job", "holdfast", "$instance", ".*")
	for _, panel := range panels {
		series := 0
		for _, target := range panel.Targets {
			series += p.asks("query_range", url.Values{
				"query": {filled.Replace(target.Expr)}, "step": {"500ms"},
				"start": {began.Format(time.RFC3339Nano)}, "end": {time.Now().Format(time.RFC3339Nano)},
			})
		}
		if series == 0 {
			p.T.Errorf("the panel %q shows nothing", panel.Title)
		}
	}
}
