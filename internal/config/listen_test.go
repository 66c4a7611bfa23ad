package config

import (
	"fmt"
	"io/fs"
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
		"[::]:9100":      "127.0.0.1:9100",
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

// The options of a unix socket are not part of its address.
func TestSocketOptions(t *testing.T) {
	for listen, want := range map[listenAddress]struct {
		address string
		mode    fs.FileMode
	}{
		"unix:/run/a.sock":           {"unix:/run/a.sock", 0},
		"unix:/run/a.sock?mode=0660": {"unix:/run/a.sock", 0o660},
		":8080":                      {":8080", 0},
		"systemd:a?mode=0660":        {"systemd:a?mode=0660", 0},
	} {
		if listen.Address() != want.address || listen.mode() != want.mode {
			t.Errorf("%s: address %s, mode %#o; want %v", listen, listen.Address(), listen.mode(), want)
		}
	}
	c := mustLoad(t, someUpstream, "HOLDFAST_LISTEN=unix:/run/a.sock?mode=0600")
	if got := c.Proxy(&Certificates{}, nil, nil, nil); got.Listen != "unix:/run/a.sock" || got.ListenMode != 0o600 {
		t.Errorf("the proxy listens on %s with mode %#o", got.Listen, got.ListenMode)
	}
	_, err := load("HOLDFAST_UPSTREAM=unix:/run/a.sock", "HOLDFAST_LISTEN=unix:/run/a.sock?mode=0600")
	if err == nil || !strings.Contains(err.Error(), "leads back to this proxy") {
		t.Errorf("a proxy that is its own upstream: %v", err)
	}
}
