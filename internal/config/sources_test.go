package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a-token-of-many-letters"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, found := Describe([]string{
		"HOLDFAST_UPSTREAM=ws://127.0.0.1:9000",
		"HOLDFAST_PING_INTERVAL=7s",
		"HOLDFAST_ADMIN_TOKEN_FILE=" + file,
		"HOLDFAST_UPSTREAM_HEADERS=X-Secret=hunter2",
	})
	if len(found) > 0 {
		t.Fatal(found)
	}
	settings := map[string]Setting{}
	for _, s := range all {
		settings[s.Name] = s
	}
	for _, tc := range []struct {
		name   string
		value  string
		source Source
		other  string
		secret bool
	}{
		{"HOLDFAST_UPSTREAM", "ws://127.0.0.1:9000", SourceEnvironment, "", false},
		{"HOLDFAST_CLOSE_TIMEOUT", "10s", SourceDefault, "", false},
		{"HOLDFAST_HEALTH_PATH", "", SourceDefault, "", false},
		{"HOLDFAST_CLIENT_PING_INTERVAL", "7s", SourceInherited, "HOLDFAST_PING_INTERVAL", false},
		{"HOLDFAST_TCP_USER_TIMEOUT", "60s", SourceDerived, "", false},
		{"HOLDFAST_ADMIN_TOKEN", redacted, SourceFile, "HOLDFAST_ADMIN_TOKEN_FILE", true},
		{"HOLDFAST_ADMIN_TOKEN_FILE", file, SourceEnvironment, "", false},
		{"HOLDFAST_UPSTREAM_HEADERS", redacted, SourceEnvironment, "", true},
	} {
		s := settings[tc.name]
		source, other := s.Source()
		if s.Value != tc.value || source != tc.source || other != tc.other || s.IsSecret() != tc.secret {
			t.Errorf("%s is %q from %s %q, secret: %v; want %q from %s %q, secret: %v",
				tc.name, s.Value, source, other, s.IsSecret(), tc.value, tc.source, tc.other, tc.secret)
		}
	}
}
