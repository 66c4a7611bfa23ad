//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"holdfast/internal/blackbox"
	"holdfast/internal/fixture"
)

// The demo's page and the status page of its Holdfast are shown while the demo runs. With
// SCREENSHOTS, a folder, their pictures are written there: status-page.png is the one of the
// README.
func TestDemoInABrowser(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	var out fixture.Transcript
	cmd := exec.Command(binary, "demo")
	cmd.Stdout = &out
	demo := start(t, "demo", cmd)
	pages := regexp.MustCompile(`(?s)Watch it in a browser: (\S+)\s+Holdfast's status page: (\S+)`)
	var urls [][]byte
	demo.Until("the pages are there", func() bool {
		urls = pages.FindSubmatch([]byte(out.String()))
		return urls != nil
	})
	stage := opensTab(t)
	stage.looks("light", 1200, 900)
	stage.opens(string(urls[1]))
	stage.shows("that it is the visitor's turn", "document.getElementById('talk').querySelector('button').disabled === false")
	stage.shows("the link to the status page", fmt.Sprintf("document.querySelector('#status-page a').href === %q && !document.getElementById('status-page').hidden", urls[2]))
	stage.shows("a heartbeat", "visitor.lastBeat > 0")
	stage.says("document.querySelector('[data-action=\"/cut\"]').click()", nil)
	stage.shows("that the script knows of the dead path", "document.getElementById('death').textContent.startsWith('Your path died, and nobody said so.')")
	stage.shows("that the visitor is back, with heartbeats", "visitor.socket?.readyState === WebSocket.OPEN && visitor.lastBeat > 0")
	stage.says("document.querySelector('[data-action=\"/freeze\"]').click()", nil)
	status := opensTab(t)
	status.looks("light", 1200, 900)
	status.opens(string(urls[2]))
	status.shows("the clients that froze", `document.body.textContent.includes("4 clients stopped answering pings: their network, most likely.")`)
	status.shows("the visitor", sentence("Holdfast keeps 1 session alive."))
	status.hasNoProblem()
	writes(status, "status-page.png", 668)
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int{1200, 390} {
			stage.looks(theme, width, 900)
			var wide int
			if stage.says("document.documentElement.scrollWidth", &wide); wide > width {
				t.Errorf("the demo's page is %d wide on a screen of %d", wide, width)
			}
			writes(stage, fmt.Sprintf("demo-%s-%d.png", theme, width), 0)
		}
	}
	stage.hasNoProblem()
	leaves(demo)
}

// writes draws a page to the folder for pictures, if there is one.
func writes(b *tab, name string, height int) {
	b.T.Helper()
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		b.draws(filepath.Join(folder, name), height)
	}
}

// leaves interrupts the demo and wants it to end well.
func leaves(demo *blackbox.Process) {
	demo.T.Helper()
	demo.Signal(syscall.SIGINT)
	if code := demo.WantsEnd(); code != 0 {
		demo.T.Errorf("the demo ends with %d", code)
	}
}
