package config

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/shown"
)

// The kernel cuts a longer path off, and would listen somewhere else.
func TestSocketPathsFitTheKernel(t *testing.T) {
	longest := "/" + strings.Repeat("x", maxSocketPath-1)
	for _, name := range []string{upstreamName, "HOLDFAST_LISTEN"} {
		mustLoad(t, someUpstream, name+"=unix:"+longest)
		_, err := load(someUpstream, name+"=unix:"+longest+"y")
		cut := ("unix:" + longest)[:shown.Max] + "…"
		if want := fmt.Sprintf("%s=%q has a path of 108 bytes; the kernel takes no more than 107", name, cut); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestAdminAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"":               "127.0.0.1:8081",
		":9100":          "127.0.0.1:9100",
		"0.0.0.0:9100":   "127.0.0.1:9100",
		"[::]:9100":      "[::1]:9100",
		"[::1]:9100":     "[::1]:9100",
		"10.0.0.1:9100":  "10.0.0.1:9100",
		"localhost:9100": "localhost:9100",
	} {
		got, err := AdminAddress([]string{"HOLDFAST_ADMIN_LISTEN=" + listen})
		if got != want || err != nil {
			t.Errorf("listening on %q: ask %q, %v, want %q", listen, got, err, want)
		}
	}
}
