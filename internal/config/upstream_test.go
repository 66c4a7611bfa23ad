package config

import (
	"testing"
)

func TestOwnHost(t *testing.T) {
	for upstream, want := range map[string]string{
		"ws://legacy":                "legacy",
		"https://legacy:443/a":       "legacy:443",
		"ws://[::1]":                 "[::1]",
		"ws://[fe80::1%25eth0]:9000": "[fe80::1]:9000",
		"ws://[fe80::1%25eth0]":      "[fe80::1]",
		"unix:/run/app.sock":         "localhost",
	} {
		if got := mustLoad(t, "HOLDFAST_UPSTREAM="+upstream).Upstreams[0].ownHost(); got != want {
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
		if got := c.upstreamHost(c.Upstreams[0]); got != want {
			t.Errorf("HOLDFAST_UPSTREAM_HOST=%s sends %q, want %q", value, got, want)
		}
	}
}

func TestUpstreamAddress(t *testing.T) {
	for upstream, want := range map[string]string{
		"ws://h":                  "tcp h:80",
		"http://h:9000/a":         "tcp h:9000",
		"wss://h/a":               "tcp h:443",
		"https://[::1]":           "tcp [::1]:443",
		"ws://[fe80::1%25eth0]:9": "tcp [fe80::1%eth0]:9",
		"unix:/run/a.sock":        "unix /run/a.sock",
	} {
		network, address := mustLoad(t, "HOLDFAST_UPSTREAM="+upstream).Upstreams[0].Address()
		if got := network + " " + address; got != want {
			t.Errorf("%s is at %s, want %s", upstream, got, want)
		}
	}
}

func TestUpstreamRequest(t *testing.T) {
	for _, tt := range []struct{ upstream, path, target, host string }{
		{"ws://h", "/", "/", "h"},
		{"http://h:9000/", "/ws", "/ws", "h:9000"},
		{"http://h/app", "/", "/app", "h"},
		{"http://h/app/", "/", "/app/", "h"},
		{"http://h/app/", "/ws?a", "/app/ws?a", "h"},
		{"ws://h/a%2Fb", "/", "/a%2Fb", "h"},
		{"ws://h/a//b/%2F%2c%c3%bc/../ü", "/", "/a//b/%2F%2c%c3%bc/../%C3%BC", "h"},
		{"ws://h/%2Fa b\"<>\\^`{|}\xff", "/x", "/%2Fa%20b%22%3C%3E%5C%5E%60%7B%7C%7D%FF/x", "h"},
		{"ws://h/%2F!$&'()*+;=:@~[]-._", "/", "/%2F!$&'()*+;=:@~[]-._", "h"},
		{"ws://[fe80::1%25eth0]:9000/a", "/", "/a", "[fe80::1]:9000"},
		{"wss://h/a", "/", "/a", "h"},
		{"unix:/run/a.sock", "/ws", "/ws", "localhost"},
	} {
		c := mustLoad(t, "HOLDFAST_UPSTREAM="+tt.upstream)
		target, host := c.UpstreamRequest(c.Upstreams[0], tt.path)
		if target != tt.target || host != tt.host {
			t.Errorf("a request for %s of %s asks %s for %s, want %s for %s", tt.path, tt.upstream, host, target, tt.host, tt.target)
		}
	}
}
