package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestConfigsHaveTheSetting(t *testing.T) {
	s := setting{Dir: t.TempDir(), Listen: "127.0.0.1:1", Upstream: "127.0.0.1:2", Sessions: 3, Connections: 6, OpenFiles: 20}
	for _, name := range []string{"nginx.conf", "haproxy.cfg", "Caddyfile"} {
		var config bytes.Buffer
		if err := peerTemplates.ExecuteTemplate(&config, name+".tmpl", s); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{s.Listen, s.Upstream} {
			if !strings.Contains(config.String(), want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
	}
}
