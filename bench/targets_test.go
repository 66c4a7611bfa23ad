package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestConfigsHaveTheSetting(t *testing.T) {
	plain := setting{Dir: t.TempDir(), Listen: "127.0.0.1:1", Upstream: "127.0.0.1:2", Sessions: 3, Connections: 6, OpenFiles: 20}
	secure := plain
	secure.TLS = &certificate{CertFile: "/c", KeyFile: "/k", BothFile: "/b"}
	for name, tls := range map[string][]string{
		"nginx.conf":  {"127.0.0.1:1 ssl;", "ssl_certificate /c;", "ssl_certificate_key /k;", "ssl_protocols TLSv1.3;"},
		"haproxy.cfg": {"127.0.0.1:1 ssl crt /b ssl-min-ver TLSv1.3 "},
		"Caddyfile":   {"https://127.0.0.1:1 ", "tls /c /k {", "protocols tls1.3"},
	} {
		checkConfig(t, name, plain, []string{plain.Listen, plain.Upstream}, tls)
		checkConfig(t, name, secure, append(tls, plain.Upstream), nil)
	}
}

// The settings of restarts are left out where nothing is restarted.
func TestConfigsOfRestarts(t *testing.T) {
	s := setting{Dir: t.TempDir(), Grace: "10s", Control: "127.0.0.1:3"}
	for name, line := range map[string]string{
		"nginx.conf":  "\nworker_shutdown_timeout 10s;\n",
		"haproxy.cfg": "\n    hard-stop-after 10s\n",
		"Caddyfile":   "\tadmin 127.0.0.1:3\n",
	} {
		checkConfig(t, name, s, []string{line}, nil)
		checkConfig(t, name, setting{}, nil, []string{line})
	}
}

// checkConfig fills a template and says what it lacks, and what it has too much.
func checkConfig(t *testing.T, name string, s setting, wants, unwanted []string) {
	t.Helper()
	var config bytes.Buffer
	if err := peerTemplates.ExecuteTemplate(&config, name+".tmpl", s); err != nil {
		t.Fatal(err)
	}
	for _, want := range wants {
		if !strings.Contains(config.String(), want) {
			t.Errorf("%s with TLS %v lacks %q", name, s.TLS != nil, want)
		}
	}
	for _, not := range unwanted {
		if strings.Contains(config.String(), not) {
			t.Errorf("%s with TLS %v has %q", name, s.TLS != nil, not)
		}
	}
}

func TestTLSNeedsAProxy(t *testing.T) {
	for _, t2 := range targets() {
		if got := t2.takesPart(tlsEchoScenario); got != (t2.command != nil && len(t2.only) == 0) {
			t.Errorf("%s takes part in %s: %v", t2.name, tlsEchoScenario.name, got)
		}
	}
}
