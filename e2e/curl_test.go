//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// curled is what came of a run of curl.
type curled struct {
	t      *testing.T
	code   int    // its exit code: 0 if there was an answer, whatever the status
	status int    // of the answer; 0 if there was none
	body   string // of the answer
	trace  string // what it says of the connection and of the heads
}

// curlCommand is curl at its most talkative, but for progress.
func curlCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), tool(t, "curl"), append([]string{
		"--silent", "--show-error", "--verbose", "--no-buffer", "--noproxy", "*",
		"--max-time", strconv.Itoa(int(patience.Seconds())),
	}, args...)...)
}

func curl(t *testing.T, args ...string) curled {
	t.Helper()
	// Behind the body, on a line of its own.
	cmd := curlCommand(t, append([]string{"--write-out", "\n%{http_code}"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	out := stdout.String()
	end := strings.LastIndexByte(out, '\n')
	status, err := strconv.Atoi(out[end+1:])
	if err != nil {
		t.Fatalf("curl printed %q: %v", out, err)
	}
	return curled{t: t, code: cmd.ProcessState.ExitCode(), status: status, body: out[:end], trace: stderr.String()}
}

// wants an answer of that status.
func (c curled) wants(status int) {
	c.t.Helper()
	if c.code != 0 || c.status != status {
		c.t.Fatalf("curl ended with exit code %d and status %d, want %d:\n%s\n%s", c.code, c.status, status, c.trace, c.body)
	}
}

// wantsFailure wants no answer, and curl to tell why.
func (c curled) wantsFailure(why string) {
	c.t.Helper()
	if c.code == 0 || !strings.Contains(c.trace, why) {
		c.t.Errorf("curl ended with exit code %d and status %d, want a failure that says %q:\n%s", c.code, c.status, why, c.trace)
	}
}

func (c curled) wantsTrace(said string) {
	c.t.Helper()
	if !strings.Contains(c.trace, said) {
		c.t.Errorf("curl does not tell %q:\n%s", said, c.trace)
	}
}

// mirror is what the node server was asked, which it answers with.
type mirror struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"` // names in lower case
	Size    int               `json:"size"`    // of the body
	SHA256  string            `json:"sha256"`
}

// mirror is the answer of the node server.
func (c curled) mirror() (m mirror) {
	c.t.Helper()
	c.wants(200)
	if err := json.Unmarshal([]byte(c.body), &m); err != nil {
		c.t.Fatalf("%v in %q", err, c.body)
	}
	return m
}

// wantsHeaders wants fields of a request to have these values; "" is for absent ones.
func wantsHeaders(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("the service was asked with %s: %q, want %q", name, got[name], value)
		}
	}
}
