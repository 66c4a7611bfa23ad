//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// A page's script does not see pings. The script of docs/recipes.md waits for a message instead,
// and runs as it stands there: only its address and its times are replaced.

// pagesLimit is how long a page waits for a message. Its clients are sent one every 300 ms.
const pagesLimit = 1500 * time.Millisecond

var beats = []string{"HOLDFAST_CLIENT_APP_PING=beat", "HOLDFAST_CLIENT_APP_PING_INTERVAL=300ms"}

// never is a page's time in milliseconds that does not pass in a test. setTimeout takes no longer
// one.
const never = 1<<31 - 1

// pageScript is the script of the recipe.
func pageScript(t *testing.T, url string, limit int64) string {
	t.Helper()
	text, err := os.ReadFile("../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Heartbeats of applications\n")
	_, script, _ := strings.Cut(section, "\n```js\n")
	script, _, found := strings.Cut(script, "```\n")
	if !found {
		t.Fatal("docs/recipes.md has no script of a page")
	}
	return replaced(t, script, "wss://chat.example.com/ws", url+"/page", "45000", fmt.Sprint(limit), "1000", "100")
}

// watches runs the script in the tab, under a name. What is known of the script is in an object of
// that name: the connections that it has made and those that were opened, the texts that it has
// shown, and how many milliseconds after the last message it made its second connection.
func (b *tab) watches(name, script string) {
	b.T.Helper()
	b.says(fmt.Sprintf(`(() => {
		const known = window.%s = { made: 0, opened: 0, shown: [] };
		const show = (text) => known.shown.push(text);
		const WebSocket = class extends window.WebSocket {
			constructor(url) {
				super(url);
				known.socket = this;
				const now = performance.now();
				if (++known.made === 2) {
					known.took = now - known.last;
				}
				known.last = now;
				this.addEventListener('open', () => known.opened++);
				this.addEventListener('message', () => (known.last = performance.now()));
			}
		};
		%s
		connect();
	})()`, name, script), nil)
	b.shows(name+" is open", name+".opened === 1")
}

// echoesOn wants the page of that name to show what it says to the service.
func (b *tab) echoesOn(name string) {
	b.T.Helper()
	b.says(name+".socket.send('hello')", nil)
	b.shows(name+" shows the echo", name+".shown.includes('hello')")
}

// hasNoticed wants the page of that name to have noticed within its limit that its path was dead.
func (b *tab) hasNoticed(name string) {
	b.T.Helper()
	var milliseconds float64
	b.says(name+".took", &milliseconds)
	took := time.Duration(milliseconds * float64(time.Millisecond))
	// A busy machine may be late.
	if late := took - pagesLimit; late < -10*time.Millisecond || late > 5*time.Second {
		b.T.Errorf("the page notices after %v, want %v", took, pagesLimit)
	}
}

// The proxy is frozen, and the kernel goes on answering for it. A page that is sent messages notices,
// and is back when the proxy is. The same page without them notices nothing.
func TestPageNoticesFrozenProxy(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	beating, quiet := startHoldfast(t, server.url, beats...), startHoldfast(t, server.url)
	browser := opensTab(t)
	browser.watches("beaten", pageScript(t, beating.url, pagesLimit.Milliseconds()))
	browser.watches("left", pageScript(t, quiet.url, never))
	browser.echoesOn("beaten")
	browser.echoesOn("left")

	beating.Freezes()
	quiet.Freezes()
	browser.shows("the page has tried two more connections", "beaten.made >= 3")
	browser.hasNoticed("beaten")
	if !browser.isSo("left.made === 1 && left.socket.readyState === WebSocket.OPEN") {
		t.Error("the page that waits for no message has noticed")
	}

	beating.Thaws()
	quiet.Thaws()
	browser.shows("the page is back", "beaten.opened >= 2 && beaten.socket.readyState === WebSocket.OPEN")
	browser.says("beaten.shown = []", nil)
	browser.echoesOn("beaten")
}

// A middlebox forgets a connection and drops what comes on it. The proxy finds that, and cannot tell
// the page. A page that is sent messages notices by itself, and is back on a new connection. The
// same page without them goes on believing in its session.
func TestPageNoticesForgottenConnection(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	server := startServer(t, node, serverOptions{})
	beating := startHoldfast(t, server.url, append(beats, quickClientPings...)...)
	quiet := startHoldfast(t, server.url, quickClientPings...)
	path, quietPath := startMiddlebox(t, beating.address()), startMiddlebox(t, quiet.address())
	browser := opensTab(t)
	browser.watches("beaten", pageScript(t, path.url, pagesLimit.Milliseconds()))
	browser.watches("left", pageScript(t, quietPath.url, never))

	browser.echoesOn("beaten")
	browser.echoesOn("left")

	path.forgets()
	quietPath.forgets()
	browser.shows("the page is back", "beaten.opened === 2")
	browser.hasNoticed("beaten")
	browser.says("beaten.shown = []", nil)
	browser.echoesOn("beaten")
	beating.wantsMetric(blackbox.Dropped("client", "ping_timeout"), 1)
	quiet.wantsMetric(blackbox.Dropped("client", "ping_timeout"), 1)
	if !browser.isSo("left.made === 1 && left.socket.readyState === WebSocket.OPEN") {
		t.Error("the page that waits for no message has noticed")
	}
}

// middlebox passes connections on to a proxy, until it forgets them.
type middlebox struct {
	url string // ws://
	to  string

	mu    sync.Mutex
	known map[net.Conn]bool // connections of clients that are passed on
	all   []net.Conn
}

func startMiddlebox(t *testing.T, to string) *middlebox {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middlebox{url: "ws://" + listener.Addr().String(), to: to, known: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { m.passes(client, &running) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		m.mu.Lock()
		for _, conn := range m.all {
			conn.Close()
		}
		m.mu.Unlock()
		running.Wait()
	})
	return m
}

// passes carries bytes both ways.
func (m *middlebox) passes(client net.Conn, running *sync.WaitGroup) {
	proxy, err := net.Dial("tcp", m.to)
	if err != nil {
		client.Close()
		return
	}
	m.mu.Lock()
	m.known[client] = true
	m.all = append(m.all, client, proxy)
	m.mu.Unlock()
	running.Go(func() { m.carries(client, client, proxy) })
	m.carries(client, proxy, client)
}

// carries passes on what comes of a client's connection in one direction, its end included. Of a
// connection that was forgotten it drops all that.
func (m *middlebox) carries(client net.Conn, to io.WriteCloser, from io.Reader) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		m.mu.Lock()
		known := m.known[client]
		m.mu.Unlock()
		switch {
		case err != nil:
			if known {
				to.Close()
			}
			return
		case known:
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}

// forgets drops from now on what comes on the connections that there are.
func (m *middlebox) forgets() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
}
