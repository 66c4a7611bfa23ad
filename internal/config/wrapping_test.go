package config

import (
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

// What a reader of files has left around a value is named, and what is in it is checked.
func TestWrappedValues(t *testing.T) {
	secret := fixture.Write(t, "headers", "A=1")
	for environ, want := range map[string]string{
		`HOLDFAST_UPSTREAM="ws://localhost:9000"`:            `HOLDFAST_UPSTREAM="\"ws://localhost:9000\"" ` + inQuotes,
		`HOLDFAST_UPSTREAM='unix:/run/a.sock'`:               `HOLDFAST_UPSTREAM="'unix:/run/a.sock'" ` + inQuotes,
		"HOLDFAST_UPSTREAM=unix:/run/a.sock\r":               "",
		"HOLDFAST_UPSTREAM='ws://a','ws://b'":                `HOLDFAST_UPSTREAM="'ws://a','ws://b'" ` + inQuotes + "\n" + `HOLDFAST_UPSTREAM="'ws://a','ws://b'" has an element "ws://a'" that ` + noHost + "\n" + `HOLDFAST_UPSTREAM="'ws://a','ws://b'" has an element "'ws://b" that ` + noURL,
		"HOLDFAST_UPSTREAM='ws://localhost:9000'\r":          `HOLDFAST_UPSTREAM="'ws://localhost:9000'\r" ` + inQuotes,
		"HOLDFAST_UPSTREAM= ws://localhost:9000":             "",
		"HOLDFAST_LISTEN=:8080 ":                             `HOLDFAST_LISTEN=":8080 " ` + withBlanks,
		"HOLDFAST_LISTEN=unix:/run/a.sock ":                  `HOLDFAST_LISTEN="unix:/run/a.sock " ` + withBlanks,
		"HOLDFAST_ADMIN_LISTEN='off'":                        `HOLDFAST_ADMIN_LISTEN="'off'" ` + inQuotes,
		"HOLDFAST_PING_INTERVAL=20s\r":                       `HOLDFAST_PING_INTERVAL="20s\r" ` + withReturn,
		`HOLDFAST_PING_INTERVAL="20"`:                        `HOLDFAST_PING_INTERVAL="\"20\"" ` + inQuotes + "\n" + `HOLDFAST_PING_INTERVAL="\"20\"" has no unit; write "20s"`,
		"HOLDFAST_MAX_SESSIONS='1'":                          `HOLDFAST_MAX_SESSIONS="'1'" ` + inQuotes,
		"HOLDFAST_PPROF=\"true\"":                            `HOLDFAST_PPROF="\"true\"" ` + inQuotes,
		"HOLDFAST_TLS_CLIENT_CA_FILE=":                       "",
		`HOLDFAST_ALLOWED_ORIGINS="https://a.example"`:       `HOLDFAST_ALLOWED_ORIGINS="\"https://a.example\"" ` + inQuotes,
		"HOLDFAST_ALLOWED_ORIGINS= https://a.example ":       "",
		"HOLDFAST_ALLOWED_ORIGINS=https://a.example\r":       "",
		"HOLDFAST_UPSTREAM_HEADERS='A=s3cret'":               "HOLDFAST_UPSTREAM_HEADERS " + inQuotes,
		"HOLDFAST_UPSTREAM_HEADERS=A=\"s3cret\"":             "",
		"HOLDFAST_UPSTREAM_TLS_CERT_FILE=\"/run/tls.crt\"\r": `HOLDFAST_UPSTREAM_TLS_CERT_FILE="\"/run/tls.crt\"\r" ` + inQuotes,
		"HOLDFAST_UPSTREAM_HEADERS_FILE='" + secret + "'":    `HOLDFAST_UPSTREAM_HEADERS_FILE="'` + secret + `'" ` + inQuotes,
		"HOLDFAST_UPSTREAM_HEADERS_FILE=" + secret + "\r":    `HOLDFAST_UPSTREAM_HEADERS_FILE="` + secret + `\r" ` + withReturn,
	} {
		all := []string{environ}
		if strings.HasPrefix(environ, "HOLDFAST_UPSTREAM_TLS") {
			all = append(all, "HOLDFAST_UPSTREAM=wss://localhost")
		} else if !strings.HasPrefix(environ, upstreamName+"=") {
			all = append(all, someUpstream)
		}
		_, err := load(all...)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", environ, got, want)
		}
	}
}
