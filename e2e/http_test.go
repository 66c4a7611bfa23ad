//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

func TestPlainRequests(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)

	const target = "/a%2Fb//page;v=1?x=%20&y=1;z&y"
	got := curl(t, "--header", "X-Mood: quiet", "--request", "PROPFIND", "--data", "body", proxy.web()+target).mirror()
	if got.Method != "PROPFIND" || got.URL != target || got.Size != len("body") {
		t.Errorf("the service was asked %s %s with %d bytes", got.Method, got.URL, got.Size)
	}
	wantsHeaders(t, got.Headers, map[string]string{
		"host":              proxy.address(),
		"x-mood":            "quiet",
		"x-forwarded-for":   "127.0.0.1",
		"x-forwarded-proto": "http",
		"x-forwarded-host":  proxy.address(),
	})
	// What a client claims of where it comes from is not believed.
	got = curl(t, "--header", "X-Forwarded-For: 192.0.2.1", "--header", "Forwarded: for=192.0.2.1",
		"--header", "Connection: X-Forwarded-For", proxy.web()+"/page").mirror()
	wantsHeaders(t, got.Headers, map[string]string{
		"x-forwarded-for": "127.0.0.1",
		"forwarded":       fmt.Sprintf(`for=127.0.0.1;host="%s";proto=http`, proxy.address()),
	})
	curl(t, "--head", proxy.web()+"/page").wants(200)
	proxy.wantsMetric(answered("2xx"), 3)
	proxy.wantsMetric("holdfast_handshakes_total", 0)
}

// Requests of either kind are made out to the service as the operator has it.
func TestFieldsOfTheOperator(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("Authorization=Basic Zm9vOmJhcg==;X-Tenant=blue\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := startHoldfast(t, server.url, "HOLDFAST_UPSTREAM_HOST=service.example", "HOLDFAST_UPSTREAM_HEADERS_FILE="+file)
	client := startClient(t, python)
	want := map[string]string{
		"host":             "service.example",
		"x-forwarded-host": proxy.address(),
		"authorization":    "Basic Zm9vOmJhcg==",
		"x-tenant":         "blue",
	}

	got := curl(t, "--header", "X-Tenant: red", "--header", "X_Tenant: red", "--user", "alice:secret", proxy.web()+"/page").mirror()
	wantsHeaders(t, got.Headers, want)
	wantsHeaders(t, got.Headers, map[string]string{"x_tenant": ""})
	client.connects(proxy.url, command{ID: "a"})
	wantsHeaders(t, server.wants("open", "a").Headers, want)
}

func answered(class string) string {
	return fmt.Sprintf(`holdfast_http_requests_total{code=%q}`, class)
}

func TestPlainRequestsRefused(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_HTTP=refuse")
	answer := curl(t, proxy.web()+"/page")
	answer.wants(426)
	answer.wantsTrace("Upgrade: websocket")
	server.hasToldNo("request")
}

func TestServiceAbsentForPlainRequests(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	proxy := startHoldfast(t, upstreamAbsent(t))
	curl(t, proxy.web()+"/page").wants(502)
	proxy.wantsMetric(answered("5xx"), 1)
}

// Each event is there when it is sent, and the service hears that nobody listens any more.
func TestServerSentEvents(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	stdout, told, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	cmd := curlCommand(t, "--header", "Accept: text/event-stream", proxy.web()+"/events")
	cmd.Stdout = told
	listener := start(t, "curl", cmd)
	told.Close()
	if err := stdout.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}

	server.wants("request", "events")
	lines := bufio.NewReader(stdout)
	for _, word := range []string{"one", "two", "three"} {
		server.does(command{Do: "say", ID: "events", Payload: word})
		if line, err := lines.ReadString('\n'); line != "data: "+word+"\n" {
			t.Fatalf("curl was sent %q (%v), want %s", line, err, word)
		}
		if line, err := lines.ReadString('\n'); line != "\n" {
			t.Fatalf("curl was sent %q (%v), want the event's end", line, err)
		}
	}
	listener.IsKilled()
	server.wants("gone", "events")
}

func TestUploads(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	file, sum := randomFile(t, 20<<20)

	cases := []struct {
		id   string
		args []string
		asks bool
	}{
		{"length", []string{"--header", "Expect:"}, false},
		{"chunks", []string{"--header", "Expect:", "--header", "Transfer-Encoding: chunked"}, false},
		// Would wait in vain for a 100 (RFC 9110, section 10.1.1) that got lost.
		{"asked", []string{"--header", "Expect: 100-continue", "--expect100-timeout", "3600"}, true},
	}
	for _, c := range cases {
		answer := curl(t, append(c.args, "--data-binary", "@"+file, proxy.web()+"/"+c.id)...)
		if got := answer.mirror(); got.Method != "POST" || got.Size != 20<<20 || got.SHA256 != sum {
			t.Errorf("%s: the service was sent %s with %d bytes of sum %s", c.id, got.Method, got.Size, got.SHA256)
		}
		if c.asks {
			answer.wantsTrace("< HTTP/1.1 100 Continue")
			server.wants("asks", c.id)
		}
	}
	server.hasToldNo("asks")
	proxy.wantsMetric(answered("2xx"), float64(len(cases)))

	// Who waits for a 100 need not send what nobody wants.
	refused := curl(t, "--header", "Expect: 100-continue", "--expect100-timeout", "3600",
		"--data-binary", "@"+file, "--write-out", "uploaded %{size_upload}\n%{http_code}", proxy.web()+"/unwanted")
	refused.wants(413)
	if refused.body != "uploaded 0" {
		t.Errorf("curl has %q", refused.body)
	}
	proxy.wantsMetric(answered("4xx"), 1)
}

// randomFile makes a file of size random bytes.
func randomFile(t *testing.T, size int64) (path, sum string) {
	t.Helper()
	var content bytes.Buffer
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(&content, hash), rand.NewChaCha8([32]byte{}), size); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "random")
	if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, hex.EncodeToString(hash.Sum(nil))
}

// A client that asks for a page keeps the connection, and opens its session on it.
func TestUpgradeOnAConnectionThatWasKept(t *testing.T) {
	needsProxy(t)
	for _, over := range []string{"TCP", "TLS"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			settings, tls := frequentPings, (*peerTLS)(nil)
			if over == "TLS" {
				settings, tls = append(ca.issues("127.0.0.1").served(), settings...), &peerTLS{CA: ca.file}
			}
			server := startServer(t, node, serverOptions{})
			proxy := startHoldfast(t, server.url, settings...)
			client := startClient(t, node)

			opened := client.connects(proxy.url, command{ID: "a", After: "/page", TLS: tls})
			if page := client.wants("page", "a"); page.Status != 200 {
				t.Errorf("the page is answered with %d", page.Status)
			}
			if !opened.Reused {
				t.Error("the session has a connection of its own")
			}
			server.wants("open", "a")
			for _, m := range messages {
				client.echoes("a", m)
			}
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), 2)
			client.closes("a", 4000, "done")
			server.wantsClosed("a", 4000, "done")
			client.wantsClosed("a", 4000, "done")
			proxy.wantsMetric(answered("2xx"), 1)
			proxy.wantsMetric(blackbox.Closed("client"), 1)
		})
	}
}
