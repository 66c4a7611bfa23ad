package command

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"holdfast/internal/config"
	"holdfast/internal/fixture"
)

const someUpstream = "HOLDFAST_UPSTREAM=ws://localhost:9000"

// checked is what check says of a configuration without stops of its own.
const checked = "configuration ok\n" +
	"a stop takes 55s at most (HOLDFAST_DRAIN_DELAY 5s, HOLDFAST_DRAIN_SPREAD 20s, HOLDFAST_DRAIN_TIMEOUT 30s): let the supervisor wait for 60 seconds (terminationGracePeriodSeconds, docker stop -t, TimeoutStopSec), or lower the three\n"

// outcome is what a run of the program left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

func holdfast(environ []string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := Run(args, environ, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// wants compares o to an exit code and to what the outputs must contain; "" means nothing at all.
func (o outcome) wants(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	for _, out := range []struct{ name, got, want string }{{"stdout", o.stdout, stdout}, {"stderr", o.stderr, stderr}} {
		if !strings.Contains(out.got, out.want) || out.want == "" && out.got != "" {
			t.Errorf("%s:\n%s\nwant:\n%s", out.name, out.got, out.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	const usage = "usage: holdfast [command]"
	good, bad := []string{someUpstream}, []string{someUpstream, "HOLDFAST_PING_INTERVAL=20"}
	const badInterval = `HOLDFAST_PING_INTERVAL="20" has no unit; write "20s"` + "\n"

	for _, tc := range []struct {
		args           string
		environ        []string
		code           int
		stdout, stderr string
	}{
		{"-h", nil, 0, usage, ""},
		{"--help", bad, 0, usage, ""},
		{"help", nil, 0, usage, ""},
		{"help help", nil, 0, usage, ""},
		{"help -h", nil, 0, usage, ""},
		{"help check", nil, 0, "usage: holdfast check [-connect [-path /ws] [-origin https://page]]\n\n  validate the configuration", ""},
		{"check -h", bad, 0, "usage: holdfast check [-connect [-path /ws] [-origin https://page]]\n", ""},
		{"demo -h", nil, 0, "usage: holdfast demo [-once]\n", ""},
		{"check -path /ws", good, 2, "", "holdfast: -path is for -connect; add it\n\n" + usage},
		{"check -connect -path ws", good, 2, "", "holdfast: -path must be what a client requests, like /ws, and not \"ws\"\n\n" + usage},
		{"check -connect -path /a#b", good, 2, "", "holdfast: -path must be what a client requests, like /ws, and not \"/a#…\"\n\n" + usage},
		{"check -origin https://app.example.com", good, 2, "", "holdfast: -origin is for -connect; add it\n\n" + usage},
		{"check -connect -origin app.example.com", good, 2, "", "holdfast: -origin must be what a browser sends, like https://app.example.com, and not \"app.example.com\"\n\n" + usage},
		{"check -connect -origin https://*.example.com", good, 2, "", "holdfast: -origin must be what a browser sends"},
		{"serve -h", nil, 0, "usage: holdfast serve\n", ""},
		{"help chek", nil, 2, "", `holdfast: unknown command "chek"; did you mean check?` + "\n\n" + usage},
		{"help check now", nil, 2, "", `holdfast: unexpected argument "now"` + "\n\n" + usage},
		{"help env", nil, 0, "usage: holdfast env [-format table|markdown|dotenv|json]\n\n  show every variable", ""},
		{"-h demo", nil, 0, "usage: holdfast demo [-once]\n", ""},
		{"version -h", nil, 0, "usage: holdfast version\n", ""},
		{"run", good, 2, "", `holdfast: unknown command "run"; did you mean serve?` + "\n"},
		{"-check", good, 2, "", `holdfast: unknown command "-check"; did you mean check?` + "\n"},
		{"Check", good, 2, "", `holdfast: unknown command "Check"; did you mean check?` + "\n"},
		{"-once", good, 2, "", `holdfast: unknown command "-once"; did you mean demo -once?` + "\n"},
		{"validate", good, 2, "", `holdfast: unknown command "validate"; did you mean check?` + "\n"},
		{"health", good, 2, "", `holdfast: unknown command "health"; did you mean healthcheck?` + "\n"},
		{"demo -x", nil, 2, "", "holdfast: flag provided but not defined: -x\n\n" + usage},
		{"demo -once now", nil, 2, "", `holdfast: unexpected argument "now"` + "\n\n" + usage},
		{"version", nil, 0, "holdfast ", ""},
		{"--version", bad, 0, "holdfast ", ""},
		{"check", good, 0, checked, ""},
		{"check", []string{someUpstream, "HOLDFAST_CLIENT_APP_ANSWER=ping=>pong"}, 0, "configuration ok\n" +
			"permessage-deflate is not offered to the upstream, since compressed messages cannot be compared with the texts of HOLDFAST_CLIENT_APP_ANSWER\na stop", ""},
		{"check -connect=maybe", good, 2, "", "holdfast: invalid boolean value \"maybe\" for -connect: parse error\n\n" + usage},
		{"check", bad, 78, "", badInterval},
		{"serve", bad, 78, "", badInterval},
		{"", bad, 78, "", badInterval},
		{"env", bad, 78, "HOLDFAST_PING_INTERVAL ", badInterval},
		{"env", nil, 0, "HOLDFAST_PING_INTERVAL ", ""},
		{"env -format=json", good, 0, `"ws://localhost:9000"`, ""},
		{"chek", good, 2, "", `holdfast: unknown command "chek"; did you mean check?` + "\n\n" + usage},
		{"frobnicate", good, 2, "", `holdfast: unknown command "frobnicate"` + "\n\n" + usage},
		{"-connect", good, 2, "", `holdfast: unknown command "-connect"; did you mean check -connect?` + "\n\n" + usage},
		{"serve now", good, 2, "", `holdfast: unexpected argument "now"` + "\n\n" + usage},
		{"check now", good, 2, "", `holdfast: unexpected argument "now"` + "\n\n" + usage},
		{"check -conect", good, 2, "", "holdfast: flag provided but not defined: -conect; did you mean -connect?\n\n" + usage},
		{"env -format yaml", good, 2, "", `holdfast: unknown format "yaml"` + "\n\n" + usage},
		{"env -format", good, 2, "", "holdfast: flag needs an argument: -format\n\n" + usage},
		{"version 2", nil, 2, "", `holdfast: unexpected argument "2"` + "\n\n" + usage},
		{"help me", nil, 2, "", `holdfast: unknown command "me"` + "\n\n" + usage},
		{"healthcheck now", nil, 2, "", `holdfast: unexpected argument "now"` + "\n\n" + usage},
	} {
		t.Run(tc.args, func(t *testing.T) {
			holdfast(tc.environ, strings.Fields(tc.args)...).wants(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}

// A user who has configured nothing yet is told the two things that can be done.
func TestNothingConfigured(t *testing.T) {
	const want = "HOLDFAST_UPSTREAM is not set; it says where the service is, for example HOLDFAST_UPSTREAM=ws://localhost:9000\n" +
		"\nTo see Holdfast at work without configuring anything, run: holdfast demo\n"
	for _, args := range [][]string{nil, {"serve"}, {"check"}} {
		if o := holdfast(nil, args...); o != (outcome{78, "", want}) {
			t.Errorf("%v: got %+v", args, o)
		}
	}
	if o := holdfast([]string{"HOLDFAST_PPROF=on"}); strings.Contains(o.stderr, "demo") {
		t.Errorf("the demo is advertised to someone with another problem: %s", o.stderr)
	}
}

func TestGoldenOutputs(t *testing.T) {
	set := []string{
		"HOLDFAST_UPSTREAM=ws://localhost:9000/a|b$c",
		"HOLDFAST_PING_INTERVAL=5s",
		"HOLDFAST_CLIENT_PING_INTERVAL=7s",
		"HOLDFAST_PING_TIMEOUT=", // empty: the default
		"HOLDFAST_UPSTREAM_HEADERS=Authorization=s3cret",
	}
	for file, run := range map[string]struct {
		environ []string
		args    string
	}{
		"help.txt":        {nil, "-h"},
		"env-default.md":  {nil, "env -format markdown"},
		"env-default.env": {nil, "env -format dotenv"},
		"env-default.txt": {nil, "env"},
		"env-set.md":      {set, "env -format markdown"},
		"env-set.env":     {set, "env -format dotenv"},
		"env-set.txt":     {set, "env -format table"},
		"env-set.json":    {set, "env -format json"},
	} {
		t.Run(file, func(t *testing.T) {
			o := holdfast(run.environ, strings.Fields(run.args)...)
			if o.code != exitOK || o.stderr != "" {
				t.Fatalf("exit code %d, stderr %q", o.code, o.stderr)
			}
			if strings.Contains(o.stdout, "s3cret") {
				t.Error("a secret is shown")
			}
			fixture.Golden(t, file, o.stdout)
		})
	}
}

// The environment of a failed start is shown whole, but for what may be secret.
func TestEnvShowsRefusedValuesSafely(t *testing.T) {
	o := holdfast([]string{"HOLDFAST_UPSTREAM=ws://me:s3cret@host/?t=s3cret", "HOLDFAST_PING_INTERVAL=\x1b[2J"}, "env", "-format", "json")
	if o.code != exitConfig {
		t.Errorf("exit code %d, want %d", o.code, exitConfig)
	}
	if strings.Contains(o.stdout+o.stderr, "s3cret") {
		t.Error("a secret is shown")
	}
	var shown []config.Setting
	if err := json.Unmarshal([]byte(o.stdout), &shown); err != nil {
		t.Fatal(err)
	}
	for _, s := range shown {
		switch s.Name {
		case "HOLDFAST_UPSTREAM":
			if s.Value != "ws://…@host/?…" {
				t.Errorf("upstream is shown as %q", s.Value)
			}
		case "HOLDFAST_PING_INTERVAL", "HOLDFAST_CLIENT_PING_INTERVAL":
			if s.Value != "\x1b[2J" || strings.Contains(o.stdout, "\x1b") { // JSON escapes it
				t.Errorf("%s is shown as %q", s.Name, s.Value)
			}
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestEnvReportsAWriteError(t *testing.T) {
	for format := range config.Formats {
		var stderr bytes.Buffer
		if code := Run([]string{"env", "-format", format}, nil, brokenWriter{}, &stderr); code != exitFailed {
			t.Errorf("%s: exit code %d, want %d", format, code, exitFailed)
		}
	}
}

// Help fits a terminal of 100 columns, and each command has its own.
func TestHelpFits(t *testing.T) {
	asks := [][]string{{"-h"}, {"frobnicate"}}
	for _, c := range commands() {
		asks = append(asks, []string{"help", c.name}, []string{c.name, "-h"})
	}
	for _, args := range asks {
		o := holdfast(nil, args...)
		for line := range strings.Lines(o.stdout + o.stderr) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%v: a line has %d columns: %s", args, n, line)
			}
		}
	}
	for name := range details {
		if _, ok := commandNamed(name); !ok {
			t.Errorf("there are details for %s, which is not a command", name)
		}
	}
}
