//go:build e2e

package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/blackbox"
)

// The recipes of docs/recipes.md run as they stand there. Only what belongs to a
// machine is replaced: addresses, paths, and how long an idle time is.

// recipe is a file of docs/recipes.
func recipe(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs/recipes", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settingsOf are those of the first block of settings under a heading of docs/recipes.md, as a
// shell reads them. The test chooses the addresses.
func settingsOf(t *testing.T, heading string) (settings []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, _ := strings.Cut(section, "\n```sh\n")
	block, _, found := strings.Cut(block, "```\n")
	if !found {
		t.Fatalf("docs/recipes.md has no block of settings under %q", heading)
	}
	shell := exec.Command(tool(t, "sh"), "-c", "set -a\n"+block+"env -0")
	shell.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("a shell reads the settings under %q: %v", heading, err)
	}
	for setting := range strings.SplitSeq(string(out), "\x00") {
		name, _, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, "HOLDFAST_") && name != "HOLDFAST_UPSTREAM" && !strings.HasSuffix(name, "LISTEN") {
			settings = append(settings, setting)
		}
	}
	return settings
}

// replaced puts values in the place of others. It fails if one of those is not there.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("the recipe does not say %q", pair[0])
		}
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}

// pem makes the file that HAProxy wants: certificate and key in one.
func (i identity) pem(t *testing.T) string {
	t.Helper()
	var both []byte
	for _, file := range []string{i.certFile, i.keyFile} {
		part, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, part...)
	}
	path := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// idle is how long the fronts' idle timeout is in these tests. Some pings fit into it.
const idle = "2s"

// pingsFor is how many answered pings take longer than idle.
const pingsFor = 12

func startNginxRecipe(t *testing.T, proxy *holdfast, own identity) (address string) {
	t.Helper()
	return startNginxOn(t, own, replaced(t, recipe(t, "nginx.conf"),
		"http://127.0.0.1:8080", "http://"+proxy.address(),
		"proxy_read_timeout 60s;", "proxy_read_timeout "+idle+";"))
}

// By a unix socket, nginx has its default of 60 s.
func startNginxUnixRecipe(t *testing.T, proxy *holdfast, own identity) (address string) {
	t.Helper()
	path, isUnix := strings.CutPrefix(proxy.address(), "unix:")
	if info, err := os.Lstat(path); !isUnix || err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("the proxy listens at %s (%v), want a unix socket of mode 0660", proxy.address(), err)
	}
	return startNginxOn(t, own, replaced(t, recipe(t, "nginx-unix.conf"),
		"unix:/run/holdfast/ws.sock", "unix:"+path,
		"proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_read_timeout "+idle+";"))
}

// startNginxTwoRecipe runs nginx before two addresses. It waits for their answers as long as wait
// says, instead of its default of 60 s.
func startNginxTwoRecipe(t *testing.T, first, second, wait string, own identity) (address string) {
	t.Helper()
	return startNginxOn(t, own, replaced(t, recipe(t, "nginx-two.conf"),
		"127.0.0.1:8080", first, "127.0.0.1:8090", second,
		"proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_read_timeout "+wait+";"))
}

// startNginxOn runs nginx on a recipe's site.
func startNginxOn(t *testing.T, own identity, site string) (address string) {
	t.Helper()
	listen := reserve(t)
	site = replaced(t, site,
		"listen 443 ssl;", "listen "+listen+" reuseport ssl;",
		"/etc/ssl/chat.example.com.pem", own.certFile,
		"/etc/ssl/chat.example.com.key", own.keyFile)
	dir := t.TempDir()
	config := filledIn(t, "site.conf", struct{ Dir, Site string }{dir, site})
	return startFront(t, listen, filepath.Join(dir, "nginx.conf"), config, "nginx", "-c")
}

func startHAProxyRecipe(t *testing.T, proxy *holdfast, own identity) (address string) {
	t.Helper()
	listen := reserve(t)
	_, admin, _ := strings.Cut(proxy.Admin, "http://127.0.0.1:")
	config := replaced(t, recipe(t, "haproxy.cfg"),
		"bind :443 ssl", "bind "+listen+" ssl",
		"/etc/haproxy/chat.example.com.pem", own.pem(t),
		"127.0.0.1:8080", proxy.address(),
		"check port 8081", "check port "+admin,
		"timeout tunnel  1m", "timeout tunnel  "+idle)
	return startFront(t, listen, filepath.Join(t.TempDir(), "haproxy.cfg"), config, "haproxy", "-db", "-f")
}

// The service is told who the client is, and a session outlives the front's idle
// timeout without a message.
func TestRecipesOfFronts(t *testing.T) {
	needsProxy(t)
	for _, front := range []struct {
		heading string
		starts  func(*testing.T, *holdfast, identity) string
		way     string // that the service is told, beside the client
	}{
		{"Behind nginx", startNginxRecipe, ", 127.0.0.1"},
		{"Behind nginx on the same machine, by a unix socket", startNginxUnixRecipe, ""},
		{"Behind HAProxy, with HTTP/2 towards browsers", startHAProxyRecipe, ", 127.0.0.1"},
	} {
		t.Run(front.heading, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			server := startServer(t, node, serverOptions{})
			settings := append(settingsOf(t, front.heading), frequentPings...)
			if strings.Contains(front.heading, "unix socket") {
				settings = append(settings, "HOLDFAST_LISTEN=unix:"+filepath.Join(shortDir(t), "ws.sock")+"?mode=0660")
			}
			proxy := startHoldfast(t, server.url, settings...)
			address := front.starts(t, proxy, ca.issues("127.0.0.1"))
			client := startClient(t, python)
			told := map[string]string{
				"host":              address,
				"x-forwarded-for":   alice + front.way,
				"x-real-ip":         alice,
				"x-forwarded-proto": "https",
				"x-forwarded-host":  address,
			}

			wantsHeaders(t, curl(t, "--cacert", ca.file, "--interface", alice, "https://"+address+"/page").mirror().Headers, told)
			client.connects("wss://"+address, command{ID: "a", From: alice, TLS: &peerTLS{CA: ca.file}})
			wantsHeaders(t, server.wants("open", "a").Headers, told)
			proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), pingsFor)
			client.echoes("a", hello)
			client.closes("a", 4000, "done")
			server.wantsClosed("a", 4000, "done")
			client.wantsClosed("a", 4000, "done")
			proxy.wantsLoggedClient("/a", alice)

			// A client may claim what it likes: its own address is the one that counts.
			client.connects("wss://"+address, command{ID: "b", From: alice, Claims: bob, TLS: &peerTLS{CA: ca.file}})
			client.closes("b", 1000, "")
			client.wantsClosed("b", 1000, "")
			proxy.wantsLoggedClient("/b", alice)
		})
	}
}

// Of two Holdfasts behind nginx one is drained, by a hook and then by a signal. No client that
// comes meanwhile is refused, and the sessions of the other one stay.
func TestRecipeOfTwoHoldfasts(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, python, serverOptions{})
	settings := append(settingsOf(t, "Two Holdfasts behind nginx"), "HOLDFAST_DRAIN_DELAY=0s", "HOLDFAST_DRAIN_SPREAD=0s")
	leaves, stays := startHoldfast(t, server.url, settings...), startHoldfast(t, server.url, settings...)
	address := startNginxTwoRecipe(t, leaves.address(), stays.address(), "60s", ca.issues("127.0.0.1"))
	client := startClient(t, python)
	came := 0
	come := func(n int) {
		t.Helper()
		for range n {
			id := strconv.Itoa(came)
			client.connects("wss://"+address, command{ID: id, From: alice, TLS: &peerTLS{CA: ca.file}})
			client.echoes(id, hello)
			came++
		}
	}

	come(8)
	leaves.wantsMetric("holdfast_sessions_active", 4)
	stays.wantsMetric("holdfast_sessions_active", 4)
	leaves.wantsStatus(http.MethodPost, "/api/drain", http.StatusAccepted)
	leaves.wantsMetric(blackbox.Dropped("proxy", "drain"), 4)
	come(8)
	stays.wantsMetric("holdfast_sessions_active", 12)
	leaves.Signal(syscall.SIGTERM)
	if code := leaves.WantsEnd(); code != 0 {
		t.Errorf("holdfast ended with exit code %d", code)
	}
	come(8)
	stays.wantsMetric("holdfast_sessions_active", 20)
	stays.wantsMetric("holdfast_sessions_dropped_total", 0)
}

// A rollout behind nginx: the first Holdfast is restarted and ready, and then the second one
// stops. A client that is sent away connects again at once and does not try twice, so each of
// them has a session in the end only if nobody was refused.
func TestRecipeOfTwoHoldfastsInARollout(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const clients = 30
	ca := newAuthority(t)
	server := startServer(t, python, serverOptions{})
	settings := append(settingsOf(t, "Two Holdfasts behind nginx"), "HOLDFAST_DRAIN_DELAY=0s", "HOLDFAST_DRAIN_SPREAD=0s")
	// Nothing else takes a port of this address while the first Holdfast is away.
	first := startHoldfast(t, server.url, append(settings, "HOLDFAST_LISTEN=127.0.0.7:0")...)
	second := startHoldfast(t, server.url, settings...)
	address := startNginxTwoRecipe(t, first.address(), second.address(), "60s", ca.issues("127.0.0.1"))
	client := startClient(t, python)
	way := command{From: alice, TLS: &peerTLS{CA: ca.file}}
	stops := func(h *holdfast, sessions int) {
		t.Helper()
		h.wantsMetric("holdfast_sessions_active", float64(sessions))
		h.Signal(syscall.SIGTERM)
		var came []string
		for range sessions {
			ended := client.wantsThat("the end of a session", func(e event) bool { return e.Event == "closed" })
			if ended.Code != 1012 {
				t.Errorf("the session %s ended with %d, want 1012", ended.ID, ended.Code)
			}
			way.ID = ended.ID + "+"
			client.asks("wss://"+address, way)
			came = append(came, way.ID)
		}
		refused := 0
		for _, id := range came {
			if e := client.wantsOneOf(id, "open", "refused", "failed"); e.Event != "open" {
				refused++
				t.Logf("%s is %s: %d %s", id, e.Event, e.Status, e.Reason)
			}
		}
		if refused > 0 {
			t.Fatalf("%d of %d clients that were sent away are refused", refused, sessions)
		}
		if code := h.WantsEnd(); code != 0 {
			t.Errorf("holdfast ended with exit code %d", code)
		}
	}

	for i := range clients {
		way.ID = strconv.Itoa(i)
		client.connects("wss://"+address, way)
	}
	stops(first, clients/2)
	first = startHoldfast(t, server.url, append(settings, "HOLDFAST_LISTEN="+first.address())...)
	first.Until("it is ready", first.IsReady)
	stops(second, clients)
	first.wantsMetric("holdfast_sessions_active", clients)
}

// A Holdfast that is silent delays clients and refuses none of them: after a timeout nginx asks the
// other one.
func TestRecipeOfTwoHoldfastsOfWhichOneIsSilent(t *testing.T) {
	needsProxy(t)
	const clients = 4
	for _, c := range []struct {
		silence string
		begins  func(t *testing.T, upstream string) (address string)
	}{
		{"its process is frozen", func(t *testing.T, upstream string) string {
			frozen := startHoldfast(t, upstream)
			frozen.Freezes()
			t.Cleanup(frozen.Thaws)
			return frozen.address()
		}},
		{"its host answers nothing", func(t *testing.T, _ string) string { return silentAddress(t) }},
	} {
		t.Run(c.silence, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			server := startServer(t, python, serverOptions{})
			settings := append(settingsOf(t, "Two Holdfasts behind nginx"), frequentPings...)
			works := startHoldfast(t, server.url, settings...)
			address := startNginxTwoRecipe(t, c.begins(t, server.url), works.address(), idle, ca.issues("127.0.0.1"))
			client := startClient(t, python)
			for i := range clients {
				client.asks("wss://"+address, command{ID: strconv.Itoa(i), From: alice, TLS: &peerTLS{CA: ca.file}})
			}
			for i := range clients {
				client.wants("open", strconv.Itoa(i))
				client.echoes(strconv.Itoa(i), hello)
			}
			works.wantsMetric("holdfast_sessions_active", clients)
		})
	}
}

// silentAddress is one where no connection is made and none is refused: its listener has room for
// a single connection, and that one is there.
func silentAddress(t *testing.T) (address string) {
	t.Helper()
	fd, address := bound(t)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address
}

// HAProxy takes the recipe's file as it stands there, without a warning. Only the
// certificate is this machine's.
func TestHAProxyRecipeIsComplete(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	config := replaced(t, recipe(t, "haproxy.cfg"), "/etc/haproxy/chat.example.com.pem", newAuthority(t).issues("127.0.0.1").pem(t))
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool(t, "haproxy"), "-c", "-f", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("haproxy -c says, %v:\n%s", err, out)
	}
}

// Browsers put many sessions on one connection of HTTP/2. HAProxy makes an HTTP/1.1
// upgrade of each, and passes the frames on.
func TestHAProxyRecipeOverHTTP2(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	server := startServer(t, node, serverOptions{})
	settings := settingsOf(t, "Behind HAProxy, with HTTP/2 towards browsers")
	proxy := startHoldfast(t, server.url, append(settings, frequentPings...)...)
	address := startHAProxyRecipe(t, proxy, ca.issues("127.0.0.1"))
	client := client{startPeer(t, "HTTP/2 client", node.command(t, "h2_client"))}

	client.asks("wss://"+address, command{ID: "a", TLS: &peerTLS{CA: ca.file}})
	if !client.wants("settings", "a").Same {
		t.Error("HAProxy does not offer WebSocket over HTTP/2")
	}
	if e := client.wants("open", "a"); e.Status != 200 {
		t.Fatalf("the session is answered with %d", e.Status)
	}
	wantsHeaders(t, server.wants("open", "a").Headers, map[string]string{"upgrade": "websocket", "host": address})
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), pingsFor)
	client.does(command{Do: "say", ID: "a", Payload: "hello"})
	if e := client.wants("said", "a"); e.Payload != "hello" {
		t.Errorf("the echo is %q", e.Payload)
	}
	client.does(command{Do: "close", ID: "a", Code: 4000, Reason: "done"})
	server.wantsClosed("a", 4000, "done")
	client.wantsClosed("a", 4000, "done")
	proxy.wantsMetric(blackbox.Closed("client"), 1)
}

// HAProxy sends nobody to a Holdfast that says that it is not ready.
func TestHAProxyRecipeAsksForReadiness(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	ca := newAuthority(t)
	proxy := startHoldfast(t, upstreamAbsent(t))
	address := startHAProxyRecipe(t, proxy, ca.issues("127.0.0.1"))
	curl(t, proxy.web()+"/page").wants(502) // Holdfast learns that its service is away
	proxy.Until("HAProxy has nowhere to send a request", func() bool {
		return curl(t, "--cacert", ca.file, "https://"+address+"/page").status == 503
	})
}

// A service whose program computes answers no pings. It keeps its sessions.
func TestRecipeForServicesThatCompute(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	settings := slices.Concat(quickUpstreamPings, settingsOf(t, "Long silent answers of a language model"))
	proxy := startHoldfast(t, server.url, append(settings, "HOLDFAST_CLIENT_PING_INTERVAL=300ms")...)
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "a"})
	client.echoes("a", hello)
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "upstream"), 1)

	server.Freezes()
	pongs := proxy.Metric(blackbox.OfSide("holdfast_pongs_received_total", "client"))
	proxy.WantsAtLeast(blackbox.OfSide("holdfast_pongs_received_total", "client"), pongs+pingsFor)
	server.Thaws()
	client.echoes("a", hello)
	proxy.wantsMetric("holdfast_sessions_dropped_total", 0)
}

// A service that compares Host and Origin is satisfied, and so is one that wants its own name.
func TestRecipeForServicesThatCheckHost(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, python, serverOptions{})
	preserved := startHoldfast(t, server.url)
	own := startHoldfast(t, server.url, settingsOf(t, "In front of a service that checks Host or Origin")...)
	_, service, _ := strings.Cut(server.url, "://")
	allowed := regexp.MustCompile(`HOLDFAST_ALLOWED_ORIGINS=(\S+)`).FindStringSubmatch(strings.Join(settingsOf(t,
		"In front of a service that checks Host or Origin"), " "))[1]

	for _, c := range []struct {
		proxy        *holdfast
		origin, host string
		status       int
	}{
		{preserved, "https://elsewhere.example", preserved.address(), 101},
		{own, allowed, service, 101},
		{own, "https://elsewhere.example", "", 403},
	} {
		r := upgradeRequest(t, c.proxy)
		r.Header.Set("Origin", c.origin)
		response, _ := answer(t, r)
		if response.StatusCode != c.status {
			t.Errorf("from %s: status %d, want %d", c.origin, response.StatusCode, c.status)
		}
		if c.status == 101 {
			wantsHeaders(t, server.wants("open", "chat").Headers, map[string]string{"host": c.host, "origin": c.origin})
		}
	}
}
