//go:build e2e

package e2e

import (
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/blackbox"
)

func TestTLS(t *testing.T) {
	needsProxy(t)
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		for _, clients := range []runtime{python, node} {
			t.Run(clients.name+" "+version, func(t *testing.T) {
				t.Parallel()
				testTLS(t, clients, version)
			})
		}
	}
}

func testTLS(t *testing.T, clients runtime, version string) {
	ca := newAuthority(t)
	own := ca.issues("127.0.0.1")
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, slices.Concat(own.served(), frequentPings)...)
	client := startClient(t, clients)

	opened := client.connects(proxy.url, command{ID: "a", TLS: &peerTLS{CA: ca.file, Version: version}})
	if opened.TLS != version || opened.ALPN != "http/1.1" || opened.Serial != own.serial() {
		t.Errorf("the session is over %q %q with certificate %s, want %s http/1.1 %s",
			opened.TLS, opened.ALPN, opened.Serial, version, own.serial())
	}
	wantsHeaders(t, server.wants("open", "a").Headers, map[string]string{"x-forwarded-proto": "https"})
	for _, m := range messages {
		client.echoes("a", m)
	}
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), 2)
	client.closes("a", 4000, "done")
	server.wantsClosed("a", 4000, "done")
	client.wantsClosed("a", 4000, "done")

	client.connects(proxy.url, command{ID: "b", TLS: &peerTLS{CA: ca.file, Version: version}})
	server.wants("open", "b")
	server.closes("b", 1001, "leaving")
	client.wantsClosed("b", 1001, "leaving")
	server.wantsClosed("b", 1001, "leaving")
	proxy.wantsMetric(blackbox.Closed("client"), 1)
	proxy.wantsMetric(blackbox.Closed("upstream"), 1)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
}

// A client that dies behind TLS is missed like any other.
func TestClientKilledBehindTLS(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, ca.issues("127.0.0.1").served()...)
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "a", TLS: &peerTLS{CA: ca.file}})
	client.echoes("a", hello)

	client.IsKilled()
	server.wantsClosed("a", 1001, "client connection lost")
	proxy.wantsMetric(blackbox.Dropped("client", "eof"), 1)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 1)
}

func TestCurlOverTLS(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, ca.issues("127.0.0.1").served()...)
	for _, version := range []string{"1.2", "1.3"} {
		answer := curl(t, "--cacert", ca.file, "--tlsv"+version, "--tls-max", version, "--http2", proxy.web()+"/page")
		wantsHeaders(t, answer.mirror().Headers, map[string]string{"x-forwarded-proto": "https", "x-forwarded-host": proxy.address()})
		answer.wantsTrace("SSL connection using TLSv" + version)
		answer.wantsTrace("ALPN: server accepted http/1.1")
	}
}

// A connection that speaks something other than the proxy's TLS ends alone.
func TestTLSRefused(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, ca.issues("127.0.0.1").served()...)
	client := startClient(t, python)

	curl(t, "--cacert", newAuthority(t).file, proxy.web()).wantsFailure("unable to get local issuer certificate")
	curl(t, "--cacert", ca.file, "--resolve", "elsewhere.example:443:127.0.0.1", "--connect-to", "::"+proxy.address(),
		"https://elsewhere.example").wantsFailure("no alternative certificate subject name matches")
	client.asks(proxy.url, command{ID: "stranger", TLS: &peerTLS{CA: newAuthority(t).file}})
	if e := client.wants("failed", "stranger"); !strings.Contains(e.Reason, "CERTIFICATE_VERIFY_FAILED") {
		t.Errorf("a client that does not know the CA failed with %s", e.Reason)
	}
	wantsAlert(t, proxy, "alert protocol version", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
	wantsAlert(t, proxy, "alert no application protocol", "-alpn", "h2")
	curl(t, "http://"+proxy.address()).wants(http.StatusBadRequest)

	client.connects(proxy.url, command{ID: "good", TLS: &peerTLS{CA: ca.file}})
	client.echoes("good", hello)
	server.wants("open", "good")
	server.hasToldNo("request")
	server.hasToldNo("open")
	proxy.wantsMetric("holdfast_sessions_opened_total", 1)
}

// wantsAlert lets openssl try a handshake, which must fail with that alert.
func wantsAlert(t *testing.T, proxy *holdfast, alert string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "openssl"),
		append([]string{"s_client", "-connect", proxy.address()}, args...)...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), alert) {
		t.Errorf("openssl s_client %q ended with %v, want %q:\n%s", args, err, alert, out)
	}
}

func TestClientCertificate(t *testing.T) {
	needsProxy(t)
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			server := startServer(t, node, serverOptions{})
			proxy := startHoldfast(t, server.url, append(ca.issues("127.0.0.1").served(), "HOLDFAST_TLS_CLIENT_CA_FILE="+ca.file)...)
			trust := peerTLS{CA: ca.file, Version: version}
			for _, clients := range []runtime{python, node} {
				client := startClient(t, clients)
				id := func(name string) string { return clients.name + name }
				client.connects(proxy.url, command{ID: id("known"), TLS: trust.as(ca.issues("client"))})
				client.echoes(id("known"), hello)
				server.wants("open", id("known"))

				fails := "failed"
				if clients.name == node.name {
					fails = "error"
				}
				client.asks(proxy.url, command{ID: id("nobody"), TLS: &trust})
				client.wants(fails, id("nobody"))
				client.asks(proxy.url, command{ID: id("stranger"), TLS: trust.as(newAuthority(t).issues("client"))})
				client.wants(fails, id("stranger"))
				client.echoes(id("known"), hello)
			}
			server.hasToldNo("open")
			proxy.wantsMetric("holdfast_sessions_opened_total", 2)
			proxy.wantsMetric("holdfast_sessions_active", 2)
		})
	}
}

func TestUpstreamTLS(t *testing.T) {
	needsProxy(t)
	ca, other := newAuthority(t), newAuthority(t)
	here, named := ca.issues("127.0.0.1"), ca.issues("service.example")
	client := ca.issues("holdfast")
	trust := "HOLDFAST_UPSTREAM_TLS_CA_FILE=" + ca.file
	name := "HOLDFAST_UPSTREAM_TLS_SERVER_NAME=service.example"
	insecure := "HOLDFAST_UPSTREAM_TLS_INSECURE=true"
	certified := []string{trust,
		"HOLDFAST_UPSTREAM_TLS_CERT_FILE=" + client.certFile, "HOLDFAST_UPSTREAM_TLS_KEY_FILE=" + client.keyFile}
	cases := []struct {
		name     string
		service  *peerTLS
		settings []string
		opens    bool
		serial   string // of the certificate that the service is shown
	}{
		{name: "CA", service: new(peerTLS).as(here), settings: []string{trust}, opens: true},
		{name: "another CA", service: new(peerTLS).as(other.issues("127.0.0.1")), settings: []string{trust}},
		{name: "the system's CAs", service: new(peerTLS).as(here)},
		{name: "server name", service: new(peerTLS).as(named), settings: []string{trust, name}, opens: true},
		{name: "another name", service: new(peerTLS).as(named), settings: []string{trust}},
		{name: "insecure", service: new(peerTLS).as(named), settings: []string{insecure}, opens: true},
		{name: "client certificate", service: (&peerTLS{CA: ca.file}).as(here), settings: certified, opens: true, serial: client.serial()},
		{name: "client certificate over TLS 1.2", service: (&peerTLS{CA: ca.file, Version: "TLSv1.2"}).as(here), settings: certified, opens: true, serial: client.serial()},
		{name: "no client certificate", service: (&peerTLS{CA: ca.file}).as(here), settings: []string{trust}},
		{name: "no client certificate over TLS 1.2", service: (&peerTLS{CA: ca.file, Version: "TLSv1.2"}).as(here), settings: []string{trust}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, python, serverOptions{TLS: c.service})
			settings := slices.Concat(frequentPings, c.settings)
			proxy := startHoldfast(t, server.url, settings...)
			client := startClient(t, node)
			checks(t, server.url, settings, c.opens)
			if !c.opens {
				client.asks(proxy.url, command{ID: "a"})
				if e := client.wants("refused", "a"); e.Status != 502 {
					t.Errorf("the client is refused with %d, want 502", e.Status)
				}
				proxy.wantsMetric("holdfast_sessions_opened_total", 0)
				server.hasToldNo("open")
				return
			}
			client.connects(proxy.url, command{ID: "a"})
			if e := server.wants("open", "a"); e.ALPN != "http/1.1" || e.Serial != c.serial {
				t.Errorf("the service has agreed on %q and was shown the certificate %q, want http/1.1 and %q", e.ALPN, e.Serial, c.serial)
			}
			for _, m := range messages {
				client.echoes("a", m)
			}
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), 2)
			client.closes("a", 4000, "done")
			server.wantsClosed("a", 4000, "done")
			client.wantsClosed("a", 4000, "done")
			proxy.wantsMetric(blackbox.Closed("client"), 1)
		})
	}
}

// checks lets `holdfast check -connect` try the upstream beforehand. It returns what that
// has printed.
func checks(t *testing.T, upstream string, settings []string, succeeds bool) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "check", "-connect")
	cmd.Env = environment(upstream, settings...)
	out, err := cmd.CombinedOutput()
	if (err == nil) != succeeds {
		t.Errorf("holdfast check -connect ended with %v:\n%s", err, out)
	}
	return string(out)
}

// A service that speaks https is one whose requests of either kind go over TLS,
// as are those of its clients.
func TestTLSOnBothSides(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, node, serverOptions{TLS: new(peerTLS).as(ca.issues("127.0.0.1")), Deflate: true})
	proxy := startHoldfast(t, "https"+strings.TrimPrefix(server.url, "wss"),
		append(ca.issues("127.0.0.1").served(), "HOLDFAST_UPSTREAM_TLS_CA_FILE="+ca.file)...)
	client := startClient(t, python)

	client.connects(proxy.url, command{ID: "a", Deflate: true, TLS: &peerTLS{CA: ca.file}})
	if e := server.wants("open", "a"); e.TLS != "TLSv1.3" {
		t.Errorf("the service speaks %q", e.TLS)
	}
	for _, m := range messages {
		client.echoes("a", m)
	}
	answer := curl(t, "--cacert", ca.file, proxy.web()+"/page").mirror()
	wantsHeaders(t, answer.Headers, map[string]string{"x-forwarded-proto": "https"})

	server.IsKilled()
	client.wantsClosed("a", 1012, "upstream connection lost")
	proxy.wantsMetric(blackbox.Dropped("upstream", "eof"), 1)
}
