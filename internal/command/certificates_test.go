package command

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/fixture"
)

// identity is a certificate for 127.0.0.1, issued by itself, and its key, in PEM.
type identity struct {
	expires   time.Time
	cert, key string
}

func newIdentity(t *testing.T, expires time.Time) identity {
	t.Helper()
	cert, key := fixture.PEM(fixture.SelfSigned("127.0.0.1", expires))
	return identity{expires.Truncate(time.Second), cert, key}
}

// What is wrong with the files is told with all else, in the order of the table.
func TestTLSFilesRefused(t *testing.T) {
	one, other := newIdentity(t, fixture.Soon()), newIdentity(t, fixture.Soon())
	cert, key := fixture.Write(t, "tls.crt", one.cert), fixture.Write(t, "tls.key", one.key)
	otherKey := fixture.Write(t, "other.key", other.key)
	for _, tc := range []struct {
		name    string
		environ []string
		stderr  string
	}{
		{"absent", []string{someUpstream, "HOLDFAST_PPROF=on", "HOLDFAST_TLS_CERT_FILE=/absent.crt", "HOLDFAST_TLS_KEY_FILE=" + key, "HOLDFAST_LISTEN=80"},
			`^HOLDFAST_LISTEN="80" .*\nHOLDFAST_TLS_CERT_FILE="/absent.crt" does not exist.*\nHOLDFAST_PPROF="on" .*\n$`},
		{"absent, and no upstream", []string{"HOLDFAST_TLS_CERT_FILE=/absent.crt", "HOLDFAST_TLS_KEY_FILE=" + key},
			`^HOLDFAST_UPSTREAM is not set.*\nHOLDFAST_TLS_CERT_FILE="/absent.crt" does not exist.*\n$`},
		{"no key", []string{someUpstream, "HOLDFAST_TLS_CERT_FILE=" + cert}, `^HOLDFAST_TLS_KEY_FILE is not set, but HOLDFAST_TLS_CERT_FILE=.* is; set both or neither\n$`},
		{"no certificate", []string{someUpstream, "HOLDFAST_TLS_KEY_FILE=" + key}, `^HOLDFAST_TLS_CERT_FILE is not set, but HOLDFAST_TLS_KEY_FILE=.* is; set both or neither\n$`},
		{"another key", []string{someUpstream, "HOLDFAST_TLS_CERT_FILE=" + cert, "HOLDFAST_TLS_KEY_FILE=" + otherKey}, `^HOLDFAST_TLS_KEY_FILE="\S+" does not work with .*\n$`},
		{"a CA that is none", []string{someUpstream, "HOLDFAST_TLS_CERT_FILE=" + cert, "HOLDFAST_TLS_KEY_FILE=" + key, "HOLDFAST_TLS_CLIENT_CA_FILE=" + key},
			`^HOLDFAST_TLS_CLIENT_CA_FILE="\S+" holds no CERTIFICATE .*\n$`},
		{"no key for the upstream", []string{"HOLDFAST_UPSTREAM=wss://localhost", "HOLDFAST_UPSTREAM_TLS_CERT_FILE=" + cert},
			`^HOLDFAST_UPSTREAM_TLS_KEY_FILE is not set, but HOLDFAST_UPSTREAM_TLS_CERT_FILE=.* is; set both or neither\n$`},
		{"an upstream's CA that is absent", []string{"HOLDFAST_UPSTREAM=https://localhost", "HOLDFAST_UPSTREAM_TLS_CA_FILE=/absent.crt"},
			`^HOLDFAST_UPSTREAM_TLS_CA_FILE="/absent.crt" does not exist.*\n$`},
		{"a CA that would not be asked", []string{"HOLDFAST_UPSTREAM=wss://localhost", "HOLDFAST_UPSTREAM_TLS_CA_FILE=" + cert, "HOLDFAST_UPSTREAM_TLS_INSECURE=true"},
			`^HOLDFAST_UPSTREAM_TLS_INSECURE="true" switches off the check of the certificate that HOLDFAST_UPSTREAM_TLS_CA_FILE is for; unset one of them\n$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, command := range []string{"check", "serve"} {
				holdfast(tc.environ, command).matches(t, exitConfig, `^$`, tc.stderr)
			}
		})
	}
}

func TestCheckWarnsOfAnExpiredCertificate(t *testing.T) {
	expired := newIdentity(t, time.Now().Add(-time.Hour))
	holdfast([]string{
		someUpstream,
		"HOLDFAST_TLS_CERT_FILE=" + fixture.Write(t, "tls.crt", expired.cert),
		"HOLDFAST_TLS_KEY_FILE=" + fixture.Write(t, "tls.key", expired.key),
	}, "check").matches(t, exitOK, `^`+regexp.QuoteMeta(checked)+`$`, `^warning: HOLDFAST_TLS_CERT_FILE="\S+": certificate 1 of 1 expired at .*\n$`)
}

// A certificate is replaced under a proxy that runs, and a mistake with it harms
// nobody.
func TestServeWithTLS(t *testing.T) {
	first, second := newIdentity(t, fixture.Soon()), newIdentity(t, fixture.Soon().Add(time.Hour))
	certFile, keyFile := fixture.Write(t, "tls.crt", first.cert), fixture.Write(t, "tls.key", first.key)
	p := startServe(t, "HOLDFAST_UPSTREAM=wss://localhost", "HOLDFAST_UPSTREAM_TLS_INSECURE=true",
		"HOLDFAST_TLS_CERT_FILE="+certFile, "HOLDFAST_TLS_KEY_FILE="+keyFile)
	started := p.logs(`msg="holdfast starts"`, "tls=true", "upstream=wss://localhost")
	p.logs("level=WARN", "HOLDFAST_UPSTREAM_TLS_INSECURE")
	listen, metrics := valueOf(started, "listen"), "http://"+valueOf(started, "admin")+"/metrics"
	wantsCertificate(t, listen, first)
	wantsExpiry(t, metrics, first)
	const noFailure = "\nholdfast_reload_failures_total 0\n"
	if !strings.Contains(scraped(t, metrics), noFailure) {
		t.Error("a reload has failed before there was one")
	}

	fixture.Rewrite(t, certFile, second.cert)
	p.signal(syscall.SIGHUP)
	p.logs("level=ERROR", "TLS files cannot be used", "side=client", "HOLDFAST_TLS_KEY_FILE")
	wantsCertificate(t, listen, first)
	if strings.Contains(scraped(t, metrics), noFailure) {
		t.Error("the reload that failed is not counted")
	}

	fixture.Rewrite(t, keyFile, second.key)
	p.signal(syscall.SIGHUP)
	p.logs("level=INFO", "TLS files loaded", "side=client")
	wantsCertificate(t, listen, second)
	wantsExpiry(t, metrics, second)

	p.signal(syscall.SIGHUP)
	p.logs("level=INFO", "the same as before", "side=client")
	p.ends()
}

func wantsCertificate(t *testing.T, address string, want identity) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(want.cert))
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Errorf("a client that wants the certificate that expires at %v: %v", want.expires, err)
		return
	}
	conn.Close()
}

func wantsExpiry(t *testing.T, metrics string, want identity) {
	t.Helper()
	line := fmt.Sprintf("\nholdfast_tls_certificate_expiry_timestamp_seconds %v\n", float64(want.expires.Unix()))
	if !strings.Contains(scraped(t, metrics), line) {
		t.Errorf("the metrics lack%s", line)
	}
}

func scraped(t *testing.T, metrics string) string {
	t.Helper()
	answer, err := http.Get(metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestServeWarnsOfAnExpiredCertificate(t *testing.T) {
	expired := newIdentity(t, time.Now().Add(-time.Hour))
	p := startServe(t, someUpstream,
		"HOLDFAST_TLS_CERT_FILE="+fixture.Write(t, "tls.crt", expired.cert), "HOLDFAST_TLS_KEY_FILE="+fixture.Write(t, "tls.key", expired.key))
	p.logs(`msg="holdfast starts"`, "tls=true")
	p.logs("level=WARN", "HOLDFAST_TLS_CERT_FILE", "expired at")
	p.ends()
}
