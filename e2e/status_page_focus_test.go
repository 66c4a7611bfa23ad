//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// asks is a condition: the dialog is open and has this text.
func asks(text string) string {
	return fmt.Sprintf("document.getElementById('confirm').open && document.getElementById('confirm-text').textContent.includes(%q)", text)
}

// isOutdated is a condition: the dialog says that there is nothing to ask any more, and the
// only button that it has left has the focus.
func isOutdated(text string) string {
	return asks(text) + " && document.activeElement.textContent === 'OK'" +
		" && [...document.querySelectorAll('#confirm button')].filter((b) => b.offsetParent).length === 1"
}

// hasFocus is a condition: no dialog is open, and an element has the focus.
func hasFocus(element string) string {
	return "!document.getElementById('confirm').open && document.activeElement === " + element
}

// settles waits until the browser has drawn the page again. It takes the focus from what is
// hidden when it draws.
func (b *tab) settles() {
	b.T.Helper()
	b.says("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))", nil)
}

// A session ends while the page asks whether to close it. The page says so, and the keyboard
// goes on from the nearest row.
func TestStatusPageKeepsFocusWhenSessionsEnd(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	client := startClient(t, node)
	const heading = "document.getElementById('sessions')"
	for i := range 5 {
		client.connects(proxy.url, command{ID: fmt.Sprint(i)})
	}
	page := statusPage(t, proxy)
	page.opens(proxy.Admin + "/?sort=age&order=desc")
	page.shows("that it is live", "!document.querySelector('.live').hidden")
	page.shows("the sessions, the oldest first", "[...document.querySelectorAll('[data-act=close]')].map((b) => b.dataset.path).join() === '/0,/1,/2,/3,/4'")

	page.says(rowOf("/1")+".focus()", nil)
	for _, end := range []struct{ path, key, next string }{
		{"/1", "Escape", rowOf("/2")},
		{"/2", "Enter", rowOf("/3")},
	} {
		page.presses("Enter")
		page.shows("the question", asks(" at "+end.path+" is sent Close 1012")+" && document.activeElement.textContent === 'Cancel'")
		if end.key == "Enter" {
			page.presses("Tab")
			page.shows("the focus on yes", "document.activeElement.id === 'confirm-yes'")
		}
		client.closes(strings.TrimPrefix(end.path, "/"), 1000, "")
		page.shows("that it is outdated", isOutdated(" at "+end.path+" has ended already.")+" && !"+rowOf(end.path))
		page.presses(end.key)
		page.shows("no question, and the focus on the next row", hasFocus(end.next))
		page.settles()
		page.shows("that the focus stays", hasFocus(end.next))
	}
	page.presses("Tab")
	page.shows("that the next row follows", hasFocus(rowOf("/4")))

	client.closes("4", 1000, "")
	page.shows("the focus on the row above, for the last has gone", hasFocus(rowOf("/3")))
	page.presses("Enter")
	page.shows("a question that can be answered", asks(" at /3 is sent")+" && document.activeElement.textContent === 'Cancel' && document.getElementById('confirm-yes').offsetParent")
	page.presses("Escape")
	page.shows("the focus where it was", hasFocus(rowOf("/3")))

	// One rendering replaces all rows.
	page.says("really = load; load = async (address) => { await new Promise((ready) => { goOn = ready }); return really(address) }; goOn = undefined", nil)
	page.shows("that nothing loads", "!isLoading")
	client.closes("0", 1000, "")
	client.closes("3", 1000, "")
	client.connects(proxy.url, command{ID: "5"})
	page.shows("that it wants to load", "goOn")
	proxy.wantsMetric("holdfast_sessions_active", 1)
	page.says("load = really; goOn()", nil)
	page.shows("another row, and the focus on the heading", rowOf("/5")+" && "+hasFocus(heading))
	page.presses("Tab")
	page.shows("the focus on the filter", hasFocus("document.getElementById('filter-text')"))

	page.says(rowOf("/5")+".focus()", nil)
	page.presses("Enter")
	page.shows("the question", asks(" at /5 is sent"))
	client.closes("5", 1000, "")
	page.shows("that it is outdated", isOutdated(" at /5 has ended already."))
	page.presses("Enter")
	page.shows("the focus on the heading, because no row is left", hasFocus(heading))
	page.settles()
	page.shows("that the focus stays", hasFocus(heading))
	page.hasNoProblem()
}

// A page that has not heard yet that a session has ended is told when it wants to close it.
func TestStatusPageClosesWhatHasEnded(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	client := startClient(t, node)
	client.connects(proxy.url, command{ID: "one"})
	page := statusPage(t, proxy)
	page.says("load = async () => document.cloneNode(true)", nil)
	page.shows("that nothing loads", "!isLoading")
	page.says(rowOf("/one")+".focus()", nil)
	page.presses("Enter")
	page.shows("the question", asks(" at /one is sent"))
	client.closes("one", 1000, "")
	proxy.wantsMetric("holdfast_sessions_active", 0)
	page.presses("Tab")
	page.shows("the focus on yes", "document.activeElement.id === 'confirm-yes'")
	page.presses("Enter")
	page.shows("that it has ended", "document.getElementById('problem').textContent.endsWith(' at /one has ended already.')")
	page.says("refresh()", nil)
	page.shows("that it says so until another button is pressed", "!document.getElementById('problem').hidden")
	page.says(rowOf("/one")+".click()", nil)
	page.shows("the question, and no problem", asks(" at /one is sent")+" && document.getElementById('problem').hidden")
}

// Others drain an address while the page asks whether to drain it.
func TestStatusPageKeepsFocusWhenUpstreamIsDrained(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	proxy := startHoldfast(t, server.url)
	page := statusPage(t, proxy)
	const button = "document.querySelector('[data-act=drain], [data-act=resume]')"
	address := strings.TrimPrefix(server.url, "ws://")
	page.says(button+".focus()", nil)
	page.presses("Enter")
	page.shows("the question", asks(address+" gets no new sessions."))
	proxy.wantsStatus(http.MethodPost, "/api/upstreams/"+address+"/drain", http.StatusAccepted)
	page.shows("that it is outdated", isOutdated(address+" is drained already."))
	page.presses("Enter")
	page.shows("the focus where it was", hasFocus(button)+" && "+button+".dataset.act === 'resume'")
	page.presses("Enter")
	page.shows("that it is back, and the focus where it was", button+".dataset.act === 'drain' && "+hasFocus(button))
	page.hasNoProblem()
}
