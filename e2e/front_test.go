//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"golang.org/x/sys/unix"

	"holdfast/internal/blackbox"
)

// front is a foreign proxy before the proxy under test.
type front struct {
	Dir    string
	Listen string
	To     string // where Holdfast listens
	From   string // the front's own address, as Holdfast sees it
	Send   string // haproxy only: which header it sends
}

// The addresses of the loopback network that the tests' processes are at.
const (
	alice     = "127.0.0.2"
	bob       = "127.0.0.3"
	frontHost = "127.0.0.9"
)

// starts runs the front with its configuration filled in.
func (f front) starts(t *testing.T, config string, args ...string) (address string) {
	t.Helper()
	f.Dir, f.Listen = t.TempDir(), reserve(t)
	filled := filledIn(t, config, f)
	return startFront(t, f.Listen, filepath.Join(f.Dir, config), filled, args...)
}

// filledIn is a template of the folder front with its values.
func filledIn(t *testing.T, name string, values any) string {
	t.Helper()
	var out strings.Builder
	if err := template.Must(template.ParseFiles(filepath.Join("front", name))).Execute(&out, values); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// startFront writes the configuration to the file, runs the program on it, and waits
// until it accepts connections where it listens.
func startFront(t *testing.T, listen, file, config string, program ...string) (address string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, filepath.Base(file), exec.Command(tool(t, program[0]), append(program[1:], file)...))
	p.Until("it accepts connections", func() bool {
		conn, err := net.Dial("tcp", listen)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return listen
}

// reserve finds a free port, and keeps it from all but those who, like the fronts,
// are willing to share it.
func reserve(t *testing.T) (address string) {
	t.Helper()
	_, address = bound(t)
	return address
}

// bound is a socket that has a port and does not listen yet.
func bound(t *testing.T) (fd int, address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// startNginx runs nginx before the proxy.
func startNginx(t *testing.T, proxy *holdfast) (address string) {
	t.Helper()
	f := front{To: proxy.address(), From: frontHost}
	return f.starts(t, "nginx.conf", "nginx", "-c")
}

// startHAProxy runs HAProxy before the proxy, in its way of sending where clients come from.
func startHAProxy(t *testing.T, proxy *holdfast, send string) (address string) {
	t.Helper()
	f := front{To: proxy.address(), From: frontHost, Send: send}
	return f.starts(t, "haproxy.cfg", "haproxy", "-db", "-f")
}

func TestForwardedHeaders(t *testing.T) {
	needsProxy(t)
	const claimed = "192.0.2.7" // what the client itself says; nginx passes it on
	cases := []struct {
		name     string
		settings []string
		client   string // in the log
		headers  map[string]string
	}{{
		name:     "trusted",
		settings: []string{"HOLDFAST_TRUSTED_PROXIES=10.0.0.0/8," + frontHost},
		client:   alice,
		headers: map[string]string{
			"x-forwarded-for":   claimed + ", " + alice + ", " + frontHost,
			"x-forwarded-proto": "https",
			"x-forwarded-host":  "front.example",
		},
	}, {
		name:   "not trusted",
		client: frontHost,
		headers: map[string]string{
			"x-forwarded-for":   frontHost,
			"x-forwarded-proto": "http",
		},
	}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, node, serverOptions{})
			proxy := startHoldfast(t, server.url, c.settings...)
			nginx := startNginx(t, proxy)
			client := startClient(t, python)

			// The second request's connection to Holdfast is another: nginx keeps none.
			claim := []string{"--header", "X-Forwarded-For: " + claimed, "--interface", alice}
			wantsHeaders(t, curl(t, append(claim, "http://"+nginx+"/page")...).mirror().Headers, c.headers)
			client.connects("ws://"+nginx, command{ID: "a", From: alice, Claims: claimed})
			wantsHeaders(t, server.wants("open", "a").Headers, c.headers)
			client.echoes("a", hello)
			client.closes("a", 1000, "")
			client.wantsClosed("a", 1000, "")
			proxy.wantsLoggedClient("/a", c.client)
		})
	}
}

// It is the client that is limited, not the proxy in front that all come through.
func TestLimitBehindATrustedProxy(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_TRUSTED_PROXIES="+frontHost, "HOLDFAST_MAX_SESSIONS_PER_IP=1")
	nginx := "ws://" + startNginx(t, proxy)
	client := startClient(t, python)

	client.connects(nginx, command{ID: "alice", From: alice})
	client.connects(nginx, command{ID: "bob", From: bob})
	client.asks(nginx, command{ID: "alice2", From: alice})
	if e := client.wants("refused", "alice2"); e.Status != 429 {
		t.Errorf("the second session is refused with %d, want 429", e.Status)
	}
	proxy.wantsMetric(blackbox.Handshakes("limit_per_ip"), 1)
	client.echoes("alice", hello)
	client.echoes("bob", hello)
}

func TestProxyProtocol(t *testing.T) {
	needsProxy(t)
	for _, send := range []string{"send-proxy", "send-proxy-v2"} {
		for _, over := range []string{"TCP", "TLS"} {
			t.Run(send+" over "+over, func(t *testing.T) {
				t.Parallel()
				testProxyProtocol(t, send, over == "TLS")
			})
		}
	}
}

func testProxyProtocol(t *testing.T, send string, tls bool) {
	settings := []string{"HOLDFAST_PROXY_PROTOCOL=accept", "HOLDFAST_TRUSTED_PROXIES=" + frontHost}
	scheme, trust, curlTrust, proto := "", (*peerTLS)(nil), []string{}, "http"
	if tls {
		ca := newAuthority(t)
		settings = slices.Concat(settings, ca.issues("127.0.0.1").served())
		scheme, trust, curlTrust, proto = "s", &peerTLS{CA: ca.file}, []string{"--cacert", ca.file}, "https"
	}
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, settings...)
	haproxy := startHAProxy(t, proxy, send)
	client := startClient(t, python)

	// The balancer is believed, not what comes through it.
	told := map[string]string{"x-forwarded-for": alice, "x-forwarded-proto": proto}
	answer := curl(t, append(curlTrust, "--interface", alice, "--header", "X-Forwarded-For: 192.0.2.7",
		"http"+scheme+"://"+haproxy+"/page")...)
	wantsHeaders(t, answer.mirror().Headers, told)
	client.connects("ws"+scheme+"://"+haproxy, command{ID: "a", From: alice, TLS: trust})
	wantsHeaders(t, server.wants("open", "a").Headers, told)
	for _, m := range messages {
		client.echoes("a", m)
	}
	client.closes("a", 1000, "")
	client.wantsClosed("a", 1000, "")
	proxy.wantsLoggedClient("/a", alice)

	// Who is not trusted comes without a header, or not at all.
	client.connects(proxy.url, command{ID: "b", From: bob, TLS: trust})
	client.echoes("b", hello)
	client.closes("b", 1000, "")
	client.wantsClosed("b", 1000, "")
	proxy.wantsLoggedClient("/b", bob)
	if liar := curl(t, append(curlTrust, "--haproxy-protocol", "--interface", bob, proxy.web()+"/page")...); liar.status == 200 {
		t.Error("an untrusted address is served behind a PROXY protocol header")
	}
	if silent := curl(t, append(curlTrust, "--interface", frontHost, proxy.web()+"/page")...); silent.status == 200 {
		t.Error("a trusted address is served without a PROXY protocol header")
	}
}
