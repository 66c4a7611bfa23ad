package config

import (
	"strings"
	"testing"
)

// Names of the documented configuration are refused as what they are, and not taken for
// misspelt ones.
func TestUnsupported(t *testing.T) {
	for _, name := range []string{"HOLDFAST_TAKEOVER"} {
		_, err := load(someUpstream, name+"=1")
		if want := name + " is not supported by this version; unset it"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	for name, want := range map[string]string{
		"HOLDFAST_UPSTREM":        "HOLDFAST_UPSTREAM",
		"HOLDFAST_PING_INTERVALL": "HOLDFAST_PING_INTERVAL",
		"HOLDFAST_PINGINTERVAL":   "HOLDFAST_PING_INTERVAL",
		"HOLDFAST_ORIGINS":        "",
		"HOLDFAST_TLS_CRT_FILE":   "HOLDFAST_TLS_CERT_FILE",
		"HOLDFAST_BALANCER":       "HOLDFAST_BALANCE",
		"HOLDFAST_":               "",
		"HOLDFAST_listen":         "",

		// The name is that of another side, or has none.
		"HOLDFAST_APP_PING":             "HOLDFAST_CLIENT_APP_PING or HOLDFAST_UPSTREAM_APP_PING",
		"HOLDFAST_PONG":                 "HOLDFAST_CLIENT_PONG or HOLDFAST_UPSTREAM_PONG",
		"HOLDFAST_MAX_RATE":             "HOLDFAST_CLIENT_MAX_RATE",
		"HOLDFAST_UPSTREAM_MAX_RATE":    "HOLDFAST_CLIENT_MAX_RATE",
		"HOLDFAST_CLIENT_WRITE_TIMEOUT": "HOLDFAST_WRITE_TIMEOUT",
		"HOLDFAST_CLIENT_TLS_CERT_FILE": "HOLDFAST_TLS_CERT_FILE or HOLDFAST_UPSTREAM_TLS_CERT_FILE",
		"HOLDFAST_CLIENT_":              "",
	} {
		_, err := load(someUpstream, name+"=") // a misspelt name is one with any value
		message := name + " is not a variable of Holdfast; `holdfast env` lists all"
		if want != "" {
			message = name + " is not a variable of Holdfast; did you mean " + want + "?"
		}
		if err == nil || err.Error() != message {
			t.Errorf("got  %v\nwant %s", err, message)
		}
	}
}

func TestServiceLinks(t *testing.T) {
	environ := []string{someUpstream, "PATH=/bin", "HOLDFASTER=1", "XHOLDFAST_LISTEN=1", "holdfast_listen=1"}
	for _, service := range []string{"HOLDFAST", "HOLDFAST_ADMIN", "HOLDFAST_2"} {
		for _, suffix := range []string{
			"_SERVICE_HOST", "_SERVICE_PORT", "_SERVICE_PORT_HTTP", "_SERVICE_PORT_WEB_SOCKETS", "_PORT",
			"_PORT_8080_TCP", "_PORT_8080_TCP_PROTO", "_PORT_8080_TCP_PORT", "_PORT_8080_TCP_ADDR",
			"_PORT_8080_UDP", "_PORT_8080_UDP_PROTO", "_PORT_8080_UDP_PORT", "_PORT_8080_UDP_ADDR",
		} {
			environ = append(environ, service+suffix+"="+linked(suffix))
		}
	}
	mustLoad(t, environ...)

	mustLoad(t, someUpstream, "HOLDFAST_PORT=", "HOLDFAST_PORT=tcp://[2001:db8::1]:80", "HOLDFAST_SERVICE_HOST=2001:db8::1")
	for _, name := range []string{"HOLDFAST_PORTS", "HOLDFAST_PORT_TCP", "HOLDFAST_SERVICE", "HOLDFAST_SERVICE_HOSTS"} {
		if _, err := load(someUpstream, name+"=1"); err == nil {
			t.Errorf("%s was taken for a service link", name)
		}
	}
	for _, name := range Names() {
		if serviceLink.MatchString(name) {
			t.Errorf("%s looks like a service link", name)
		}
	}
}

// linked is what Kubernetes sets a service link with that suffix to.
func linked(suffix string) string {
	switch {
	case strings.HasSuffix(suffix, "_HOST"), strings.HasSuffix(suffix, "_ADDR"):
		return "10.0.0.1"
	case strings.HasSuffix(suffix, "_PROTO"):
		return strings.ToLower(suffix[len("_PORT_8080_"):][:3])
	case strings.Contains(suffix, "_SERVICE_PORT"), strings.HasSuffix(suffix, "P_PORT"):
		return "8080"
	}
	return "tcp://10.0.0.1:8080"
}

// A variable that Kubernetes would have set to something else was set by a user, who is
// told what to write.
func TestWhatKubernetesHasNotSet(t *testing.T) {
	const no = " is not a variable of Holdfast; "
	for environ, want := range map[string]string{
		"HOLDFAST_PORT=9099":                  "HOLDFAST_PORT" + no + "write HOLDFAST_LISTEN=:9099",
		"HOLDFAST_LISTEN_PORT=9099":           "HOLDFAST_LISTEN_PORT" + no + "write HOLDFAST_LISTEN=:9099",
		"HOLDFAST_ADMIN_PORT=9099":            "HOLDFAST_ADMIN_PORT" + no + "write HOLDFAST_ADMIN_LISTEN=127.0.0.1:9099",
		"HOLDFAST_METRICS_PORT=9099":          "HOLDFAST_METRICS_PORT" + no + "write HOLDFAST_ADMIN_LISTEN=127.0.0.1:9099",
		"HOLDFAST_UPSTREAM_PORT=9099":         "HOLDFAST_UPSTREAM_PORT" + no + "the port of the service is part of HOLDFAST_UPSTREAM",
		"HOLDFAST_PORT=:9099":                 "HOLDFAST_PORT" + no + "`holdfast env` lists all",
		"HOLDFAST_PORT=http://10.0.0.1:80":    "HOLDFAST_PORT" + no + "`holdfast env` lists all",
		"HOLDFAST_SERVICE_HOST=localhost":     "HOLDFAST_SERVICE_HOST" + no + "`holdfast env` lists all",
		"HOLDFAST_SERVICE_PORT=http":          "HOLDFAST_SERVICE_PORT" + no + "`holdfast env` lists all",
		"HOLDFAST_PORT_8080_TCP_PROTO=any":    "HOLDFAST_PORT_8080_TCP_PROTO" + no + "`holdfast env` lists all",
		"HOLDFAST_UPSTREAM_FILE=/run/up":      "HOLDFAST_UPSTREAM_FILE is not a variable of Holdfast: only secrets and the texts of messages are read from files; set HOLDFAST_UPSTREAM itself",
		"HOLDFAST_TLS_CERT_FILE_FILE=/run/up": "HOLDFAST_TLS_CERT_FILE_FILE is not a variable of Holdfast: only secrets and the texts of messages are read from files; set HOLDFAST_TLS_CERT_FILE itself",
	} {
		if _, err := load(someUpstream, environ); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
