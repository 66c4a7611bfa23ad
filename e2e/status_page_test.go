//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/blackbox"
)

// statusPage opens the status page of a proxy.
func statusPage(t *testing.T, proxy *holdfast) *tab {
	t.Helper()
	page := opensTab(t)
	page.looks("light", 1200, 900)
	page.opens(proxy.Admin + "/")
	page.shows("that it is live", "!document.querySelector('.live').hidden")
	return page
}

// sentence is a condition: what the page says first.
func sentence(want string) string {
	return fmt.Sprintf("document.querySelector('h1').textContent === %q", want)
}

// rowOf is the row of the session at a path, and the button in it.
func rowOf(path string) string {
	return fmt.Sprintf("[...document.querySelectorAll('[data-act=close]')].find((b) => b.dataset.path === %q)", path)
}

// What the page shows changes as it happens, and a session is closed by its button, with the
// keyboard alone.
func TestStatusPage(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_PING_INTERVAL=1s")
	page := statusPage(t, proxy)
	page.shows("no session", sentence("Holdfast is ready, and no session is open."))
	client := startClient(t, python)
	client.connects(proxy.url, command{ID: "one"})
	page.shows("the first session", sentence("Holdfast keeps 1 session alive."))
	client.connects(proxy.url, command{ID: "two"})
	page.shows("the second session", sentence("Holdfast keeps 2 sessions alive."))
	page.shows("a round trip of both sides", `[...document.querySelectorAll('.flow.wide .pill text')].every((p) => p.textContent.endsWith(' ms'))`)
	page.shows("the histograms", "document.querySelectorAll('.histogram').length === 2")
	client.talks("two")
	page.shows("bytes that flow", `[...document.querySelectorAll('.flow.wide .rate')].every((r) => !/ 0 B/.test(r.textContent))`)
	client.hushes("two")

	page.says(rowOf("/one")+".focus()", nil)
	page.presses("Enter")
	page.shows("the question", "document.getElementById('confirm').open && document.activeElement.textContent === 'Cancel'")
	page.presses("Escape")
	page.shows("no question, and the focus where it was", "!document.getElementById('confirm').open && document.activeElement === "+rowOf("/one"))
	page.presses("Enter")
	page.shows("the question again", "document.getElementById('confirm').open && document.activeElement.textContent === 'Cancel'")
	page.presses("Tab")
	page.shows("the focus on yes", "document.activeElement.id === 'confirm-yes'")
	page.presses("Enter")
	page.shows("no question", "!document.getElementById('confirm').open")
	client.wantsClosed("one", 1012, "closed by operator")
	page.shows("the other session", sentence("Holdfast keeps 1 session alive.")+" && !"+rowOf("/one")+" && "+rowOf("/two"))
	page.shows("the end", `document.body.textContent.includes("Holdfast ended 1 session because an operator asked for it.")`)
	page.shows("the end in the list", `[...document.querySelectorAll('td .proxy')].some((e) => e.textContent === 'Holdfast ended it because an operator asked for it.')`)
	page.shows("the focus on the next row", "document.activeElement === "+rowOf("/two"))
	proxy.wantsMetric(blackbox.Dropped("proxy", "admin"), 1)

	page.says("document.getElementById('filter-text').focus()", nil)
	page.types("nobody")
	page.shows("no session that matches", "document.querySelector('.caption').textContent === 'None of 1 session matches.' && !"+rowOf("/two"))
	page.opens(proxy.Admin + "/?filter=tw&sort=idle&order=asc")
	page.shows("the session that matches", rowOf("/two")+" && document.querySelector('th[aria-sort=ascending]').textContent.startsWith('Idle')")
	page.hasNoProblem()
}

// An upstream is drained and brought back by the buttons, while the page shows how.
func TestStatusPageDrainsUpstream(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	first, second := startServer(t, node, serverOptions{}), startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, first.url+","+second.url, "HOLDFAST_BALANCE=round_robin")
	client := startClient(t, node)
	for i := range 4 {
		client.connects(proxy.url, command{ID: fmt.Sprint("n", i)})
	}
	page := statusPage(t, proxy)
	address := strings.TrimPrefix(first.url, "ws://")
	row := fmt.Sprintf("[...document.querySelectorAll('tr')].find((r) => r.cells[2].textContent === %q)", address)
	cell := func(n int, text string) string {
		return fmt.Sprintf("%s.cells[%d].textContent.includes(%q)", row, n, text)
	}
	page.shows("its sessions", cell(0, "up")+" && "+cell(3, "2"))
	page.says(row+".querySelector('[data-act=drain]').click()", nil)
	page.shows("the question", "document.getElementById('confirm').open")
	page.says("document.getElementById('confirm-yes').click()", nil)
	page.shows("the drain", cell(0, "draining")+" && "+cell(3, "0"))
	page.shows("that it is said", `document.querySelector('.hero').textContent.includes("1 upstream is out of use")`)
	page.shows("that it is told", `document.getElementById('told').textContent !== ''`)
	page.says(row+".querySelector('[data-act=resume]').click()", nil)
	page.shows("that it is back", cell(0, "up"))
	page.hasNoProblem()
}

// The buttons of an upstream whose name is not found are for the whole upstream.
func TestStatusPageDrainsUpstreamWithoutAnAddress(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	const name = "nosuch.invalid:24003"
	proxy := startHoldfast(t, "ws://"+name, "HOLDFAST_DIAL_TIMEOUT=2s")
	page := statusPage(t, proxy)
	const row = "document.querySelector('tr[data-key^=\"ws://nosuch.invalid:24003\"]')"
	cell := func(n int, text string) string {
		return fmt.Sprintf("%s.cells[%d].textContent.includes(%q)", row, n, text)
	}
	page.shows("why it is down", cell(0, "down")+" && "+cell(0, "lookup nosuch.invalid")+" && "+cell(2, "no address"))
	page.says(row+".querySelector('[data-act=drain]').click()", nil)
	page.shows("the question", fmt.Sprintf("document.getElementById('confirm').open && document.getElementById('confirm-text').textContent.includes(%q)", name))
	page.says("document.getElementById('confirm-yes').click()", nil)
	page.shows("the drain", cell(0, "draining"))
	page.shows("that it is told", fmt.Sprintf("document.getElementById('told').textContent === 'Holdfast drains %s.'", name))
	page.says(row+".querySelector('[data-act=resume]').click()", nil)
	page.shows("that it is back", cell(0, "down"))
	page.hasNoProblem()
}

// A client that is not an operator sees the state and no addresses, until it has the token.
func TestStatusPageForGuests(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_ADMIN_TOKEN=open-sesame-0123456789")
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "one"})
	page := opensTab(t)
	page.does("Network.setExtraHTTPHeaders", fields{"headers": fields{"X-Forwarded-For": "192.0.2.7"}})
	page.opens(proxy.Admin + "/")
	page.shows("that it is live", "!document.querySelector('.live').hidden")
	page.shows("the state", sentence("Holdfast keeps 1 session alive."))
	page.shows("no session", "!"+rowOf("/one")+" && document.getElementById('token-value')")
	page.says("document.getElementById('token-value').focus()", nil)
	page.types("“open-sesame-0123456789”")
	page.presses("Enter")
	page.shows("that no token looks so", "document.getElementById('token-value').validity.patternMismatch && !sessionStorage.length")
	page.says("document.getElementById('token-value').value = ''", nil)
	page.types("wrong")
	page.presses("Enter")
	page.shows("that the token is wrong", `document.body.textContent.includes("The token is not the value of HOLDFAST_ADMIN_TOKEN")`)
	page.says("document.getElementById('token-value').value = ''", nil)
	page.says("document.getElementById('token-value').focus()", nil)
	page.types(" open-sesame-0123456789 ")
	page.presses("Enter")
	page.shows("the session", rowOf("/one"))
	page.says(rowOf("/one")+".click()", nil)
	page.says("document.getElementById('confirm-yes').click()", nil)
	client.wantsClosed("one", 1012, "closed by operator")
	page.opens(proxy.Admin + "/?sort=age")
	page.shows("that the tab keeps the token", "document.getElementById('filter')")
	page.says("document.getElementById('forget').click()", nil)
	page.shows("a guest again", "!document.getElementById('filter') && !sessionStorage.length && !localStorage.length")
	page.hasNoProblem()
}

// A browser that keeps nothing for the page shows what happens, and the buttons do what they
// say.
func TestStatusPageWithoutStorage(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url, "HOLDFAST_ADMIN_TOKEN=open-sesame-0123456789")
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "one"})
	page := opensTab(t)
	page.does("Page.addScriptToEvaluateOnNewDocument", fields{"source": `for (const name of ["sessionStorage", "localStorage"]) {
		Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError") } });
	}`})
	page.does("Network.setExtraHTTPHeaders", fields{"headers": fields{"X-Forwarded-For": "192.0.2.7"}})
	page.opens(proxy.Admin + "/")
	page.shows("that it is live", "!document.querySelector('.live').hidden")
	page.says("document.getElementById('token-value').focus()", nil)
	page.types("open-sesame-0123456789")
	page.presses("Enter")
	page.shows("the session", rowOf("/one"))
	page.says(rowOf("/one")+".click()", nil)
	page.says("document.getElementById('confirm-yes').click()", nil)
	client.wantsClosed("one", 1012, "closed by operator")
	page.says("document.getElementById('forget').click()", nil)
	page.shows("a guest again", "!document.getElementById('filter')")
	page.hasNoProblem()
}

func TestStatusPageWithoutScript(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "one"})
	page := opensTab(t)
	page.does("Emulation.setScriptExecutionDisabled", fields{"value": true})
	page.opens(proxy.Admin + "/")
	page.shows("the state", sentence("Holdfast keeps 1 session alive.")+` && document.querySelector('.again').href.endsWith('/')`)
	page.shows("the session, and no button", rowOf("/one")+" && "+rowOf("/one")+".offsetParent === null && document.querySelector('.go').offsetParent !== null")
	page.hasNoProblem()
}

// The page is readable for all: axe-core finds nothing, and a telephone scrolls in one
// direction only. With SCREENSHOTS, a folder, the pictures of the page are written there.
func TestStatusPageLooks(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	axe, err := os.ReadFile(filepath.FromSlash("node/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatalf("%v; `make e2e` installs it", err)
	}
	first, second := startServer(t, node, serverOptions{}), startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, first.url+","+second.url, "HOLDFAST_PING_INTERVAL=1s", "HOLDFAST_ADMIN_TOKEN=open-sesame-0123456789")
	client := startClient(t, node)
	for i := range 6 {
		client.connects(proxy.url, command{ID: fmt.Sprint("visitor-", i)})
	}
	client.closes("visitor-0", 1000, "")
	client.wants("closed", "visitor-0")
	page := statusPage(t, proxy)
	page.shows("round trips", "document.querySelectorAll('.histogram').length === 2")
	for _, who := range []string{"operator", "guest"} {
		if who == "guest" {
			page.does("Network.setExtraHTTPHeaders", fields{"headers": fields{"X-Forwarded-For": "192.0.2.7"}})
		}
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int{1200, 390} {
				name := fmt.Sprintf("%s-%s-%d", who, theme, width)
				page.looks(theme, width, 900)
				page.opens(proxy.Admin + "/?" + name)
				page.shows("that it is live", "!document.querySelector('.live').hidden")
				var wide int
				if page.says("document.documentElement.scrollWidth", &wide); wide > width {
					t.Errorf("%s: the page is %d wide", name, wide)
				}
				page.says(string(axe)+";0", nil)
				var found []string
				page.says("axe.run().then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary)))", &found)
				for _, violation := range found {
					t.Errorf("%s: axe finds %s", name, violation)
				}
				writes(page, name+".png", 0)
			}
		}
	}
	page.says("document.querySelector('.theme [value=dark]').click()", nil)
	page.opens(proxy.Admin + "/")
	page.shows("that the choice is remembered", "document.documentElement.dataset.theme === 'dark' && document.querySelector('.theme [value=dark]').checked")
	page.hasNoProblem()
}
