package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/shown"
)

func TestHostOf(t *testing.T) {
	for upstream, want := range map[string]string{
		"ws://legacy":                "legacy",
		"https://legacy:443/a":       "legacy:443",
		"ws://[::1]":                 "[::1]",
		"ws://[fe80::1%25eth0]:9000": "[fe80::1]:9000",
		"ws://[fe80::1%25eth0]":      "[fe80::1]",
		"unix:/run/app.sock":         "localhost",
	} {
		if got := hostOf(mustLoad(t, "HOLDFAST_UPSTREAM="+upstream).Upstream); got != want {
			t.Errorf("%s is asked for %q, want %q", upstream, got, want)
		}
	}
}

func TestUpstreamHost(t *testing.T) {
	for value, want := range map[string]string{
		"":                     "",
		"preserve":             "",
		"upstream":             "localhost:9000",
		"service.example:8080": "service.example:8080",
	} {
		c := mustLoad(t, someUpstream, "HOLDFAST_UPSTREAM_HOST="+value)
		if got := c.upstreamHost(); got != want {
			t.Errorf("HOLDFAST_UPSTREAM_HOST=%s sends %q, want %q", value, got, want)
		}
	}
}

// The kernel cuts a longer path off, and would listen somewhere else.
func TestSocketPathsFitTheKernel(t *testing.T) {
	longest := "/" + strings.Repeat("x", maxSocketPath-1)
	for _, name := range []string{upstreamName, "HOLDFAST_LISTEN"} {
		mustLoad(t, someUpstream, name+"=unix:"+longest)
		_, err := load(someUpstream, name+"=unix:"+longest+"y")
		shown := ("unix:" + longest)[:shown.Max] + "…"
		if want := fmt.Sprintf("%s=%q has a path of 108 bytes; the kernel takes no more than 107", name, shown); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
