//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// secret is a directory as Kubernetes mounts a secret: its files are links
// through ..data, which is itself a link, replaced by a rename.
type secret struct {
	t    *testing.T
	dir  string
	made int
}

func newSecret(t *testing.T, i identity) (*secret, identity) {
	t.Helper()
	s := &secret{t: t, dir: t.TempDir()}
	s.holds(i)
	for _, name := range []string{"tls.crt", "tls.key"} {
		s.must(os.Symlink(filepath.Join("..data", name), filepath.Join(s.dir, name)))
	}
	return s, identity{certFile: filepath.Join(s.dir, "tls.crt"), keyFile: filepath.Join(s.dir, "tls.key")}
}

// holds replaces what the secret held, both files at once.
func (s *secret) holds(i identity) {
	s.t.Helper()
	s.made++
	version := "..version" + strconv.Itoa(s.made)
	s.must(os.Mkdir(filepath.Join(s.dir, version), 0o700))
	s.copies(i.certFile, filepath.Join(version, "tls.crt"))
	s.copies(i.keyFile, filepath.Join(version, "tls.key"))
	next := filepath.Join(s.dir, "..data_tmp")
	s.must(os.Symlink(version, next))
	s.must(os.Rename(next, filepath.Join(s.dir, "..data")))
}

func (s *secret) copies(from, to string) {
	s.t.Helper()
	content, err := os.ReadFile(from)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(s.dir, to), content, 0o600))
}

func (s *secret) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Sessions talk on while the certificate under them is replaced, and those who
// come afterwards see the new one.
func TestCertificateRotation(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const (
		sessions = 20
		expiry   = "holdfast_tls_certificate_expiry_timestamp_seconds"
	)
	ca := newAuthority(t)
	until := func(d time.Duration) identity { return ca.issuesUntil(time.Now().Add(d), "127.0.0.1") }
	first, second, third := until(time.Hour), until(2*time.Hour), until(3*time.Hour)
	secret, mounted := newSecret(t, first)
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, append(mounted.served(), frequentPings...)...)
	client := startClient(t, python)
	newcomer := startClient(t, node)
	trust := &peerTLS{CA: ca.file}
	seesCertificate := func(id string, want identity) {
		t.Helper()
		if e := newcomer.connects(proxy.url, command{ID: id, TLS: trust}); e.Serial != want.serial() {
			t.Errorf("who comes %s sees certificate %s, want %s", id, e.Serial, want.serial())
		}
		newcomer.echoes(id, hello)
	}
	for i := range sessions {
		id := strconv.Itoa(i)
		client.connects(proxy.url, command{ID: id, TLS: trust})
		client.talks(id)
	}
	seesCertificate("at first", first)
	proxy.wantsMetric(expiry, float64(first.leaf.NotAfter.Unix()))

	secret.holds(second)
	proxy.Signal(syscall.SIGHUP)
	proxy.wantsMetric(expiry, float64(second.leaf.NotAfter.Unix()))
	seesCertificate("after the signal", second)

	// What does not fit together changes nothing, and is said.
	secret.holds(identity{certFile: third.certFile, keyFile: first.keyFile})
	proxy.Signal(syscall.SIGHUP)
	proxy.logs("that the files do not fit", func(l logLine) bool {
		return l.Level != "INFO" && l.Level != "DEBUG" && strings.Contains(l.Error, "HOLDFAST_TLS_")
	})
	seesCertificate("after the mistake", second)

	secret.holds(third) // is found without a signal
	proxy.wantsMetric(expiry, float64(third.leaf.NotAfter.Unix()))
	seesCertificate("after a while", third)

	for i := range sessions {
		client.hushes(strconv.Itoa(i))
	}
	newcomer.echoes("at first", hello)
	proxy.wantsMetric("holdfast_sessions_active", sessions+4)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
}
