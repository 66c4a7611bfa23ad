//go:build e2e

package e2e

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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

// browserSite serves the page and takes what it says.
type browserSite struct {
	proxy   string
	echoed  chan struct{}
	reports chan report
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
	server := startServer(t, node, serverOptions{Deflate: true})
	proxy := startHoldfast(t, server.url)
	site := &browserSite{proxy: proxy.url, echoed: make(chan struct{}, 1), reports: make(chan report, 1)}
	web := httptest.NewServer(site)
	defer web.Close()
	browser := startBrowser(t, web.URL)

	want := report{Extensions: "permessage-deflate", Text: true, Binary: true, Code: 4321, Reason: "seen enough"}
	deadline := time.After(patience)
	for {
		select {
		case <-site.echoed:
			server.closes("browser", want.Code, want.Reason)
		case got := <-site.reports:
			if got != want {
				t.Errorf("the page reports %+v, want %+v", got, want)
			}
			server.wantsClosed("browser", want.Code, want.Reason)
			return
		case <-browser.ended:
			t.Fatalf("the browser ended: %v", browser.err)
		case <-deadline:
			t.Fatal("the page reports nothing")
		}
	}
}

func startBrowser(t *testing.T, url string) *process {
	t.Helper()
	return start(t, "browser", exec.Command(tool(t, "chromium"),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		// Not t.TempDir: the browser's own children may still write to it at the test's end.
		"--user-data-dir="+filepath.Join(workDir, "browser"), url))
}
