//go:build e2e

package e2e

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

//go:embed browser/page.html
var page []byte

// report is what the page found out.
type report struct {
	Extensions string `json:"extensions"`
	Text       bool   `json:"text"`
	Binary     bool   `json:"binary"`
	Code       int    `json:"code"`
	Reason     string `json:"reason"`
	Error      string `json:"error"`
}

// seenEnough is what the page reports when all is well.
var seenEnough = report{Extensions: "permessage-deflate", Text: true, Binary: true, Code: 4321, Reason: "seen enough"}

// browserSite serves the page and takes what it says.
type browserSite struct {
	*httptest.Server
	proxy   string // where the page opens its session
	echoed  chan struct{}
	reports chan report
}

func newBrowserSite(t *testing.T) *browserSite {
	t.Helper()
	s := &browserSite{echoed: make(chan struct{}, 1), reports: make(chan report, 1)}
	s.Server = httptest.NewUnstartedServer(s)
	t.Cleanup(s.Close)
	return s
}

// origin is what a browser calls the page's site.
func (s *browserSite) origin() string { return "http://" + s.Listener.Addr().String() }

// isVisited lets a browser open the page, which opens its session at proxy, and
// returns what the page reports. When it has echoed, the server closes the session.
func (s *browserSite) isVisited(t *testing.T, proxy string, server *server, flags ...string) report {
	t.Helper()
	s.proxy = proxy
	s.Start()
	browser := startBrowser(t, s.URL, flags...)
	deadline := time.After(patience)
	for {
		select {
		case <-s.echoed:
			server.closes("browser", seenEnough.Code, seenEnough.Reason)
		case got := <-s.reports:
			return got
		case <-browser.Ended:
			t.Fatalf("the browser ended: %v", browser.Err)
		case <-deadline:
			t.Fatal("the page reports nothing")
		}
	}
}

func (s *browserSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	case "/proxy":
		w.Write([]byte(s.proxy))
	case "/echoed":
		s.echoed <- struct{}{}
	case "/report":
		var result report
		if err := json.NewDecoder(r.Body).Decode(&result); err != nil {
			result.Error = err.Error()
		}
		s.reports <- result
	default:
		http.NotFound(w, r)
	}
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	site := newBrowserSite(t)
	server := startServer(t, node, serverOptions{Deflate: true})
	proxy := startHoldfast(t, server.url)
	if got := site.isVisited(t, proxy.url, server); got != seenEnough {
		t.Errorf("the page reports %+v, want %+v", got, seenEnough)
	}
	server.wantsClosed("browser", seenEnough.Code, seenEnough.Reason)
}

// Over TLS, and only from pages of this site.
func TestBrowserOverTLS(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	site := newBrowserSite(t)
	own := newAuthority(t).issues("127.0.0.1")
	server := startServer(t, node, serverOptions{Deflate: true})
	proxy := startHoldfast(t, server.url, append(own.served(), "HOLDFAST_ALLOWED_ORIGINS=https://app.example,"+site.origin())...)
	if got := site.isVisited(t, proxy.url, server, "--ignore-certificate-errors-spki-list="+own.pin()); got != seenEnough {
		t.Errorf("the page reports %+v, want %+v", got, seenEnough)
	}
	server.wantsClosed("browser", seenEnough.Code, seenEnough.Reason)
	proxy.wantsMetric(blackbox.Closed("upstream"), 1)
}

// A browser does not show its page the status; other clients see it.
func TestBrowserFromElsewhere(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	site := newBrowserSite(t)
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_ALLOWED_ORIGINS=https://app.example,*.trusted.example")
	if got, want := site.isVisited(t, proxy.url, server), (report{Error: "Error: no open"}); got != want {
		t.Errorf("the page reports %+v, want %+v", got, want)
	}
	proxy.wantsMetric(blackbox.Handshakes("origin_denied"), 1)
	server.hasToldNo("open")

	for _, c := range []struct {
		origin string
		status int
	}{
		{site.origin(), 403},
		{"null", 403},
		{"https://app.example.evil.example", 403},
		{"https://trusted.example", 403},
		{"https://app.example", 101},
		{"https://www.trusted.example", 101},
		{"", 101}, // no browser
	} {
		r := upgradeRequest(t, proxy)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if response, _ := answer(t, r); response.StatusCode != c.status {
			t.Errorf("from %q: status %d, want %d", c.origin, response.StatusCode, c.status)
		}
	}
}

func startBrowser(t *testing.T, url string, flags ...string) *blackbox.Process {
	t.Helper()
	return start(t, "browser", browserCommand(t, append(flags, url)...))
}

func browserCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// Not t.TempDir: the browser's own children may still write to it at the test's end.
	data, err := os.MkdirTemp(workDir, "browser")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, "chromium"), append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir=" + data,
	}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+data)
	return cmd
}
