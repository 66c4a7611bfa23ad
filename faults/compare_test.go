//go:build faults

package faults

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"holdfast/internal/blackbox"
)

// The configurations of the other proxies, each with the source of its timeouts.
//
//go:embed peers/*.tmpl
var peerFiles embed.FS

var peerTemplates = template.Must(template.ParseFS(peerFiles, "peers/*.tmpl"))

// A rival is a proxy that is compared, Holdfast among them.
type rival struct {
	name    string
	program string // empty for Holdfast
	config  string
	args    func(dir, config string) []string
}

var rivals = []rival{
	{name: "Holdfast"},
	{"nginx", "nginx", "nginx.conf", func(dir, config string) []string { return []string{"-e", "stderr", "-p", dir, "-c", config} }},
	{"HAProxy", "haproxy", "haproxy.cfg", func(_, config string) []string { return []string{"-f", config} }},
	{"Caddy", "caddy", "Caddyfile", func(_, config string) []string {
		return []string{"run", "--adapter", "caddyfile", "--config", config}
	}},
}

const (
	compareLimit  = 180 * time.Second // for a session to end; what lasts longer is told so
	compareTalk   = time.Second       // between two messages of a peer that talks
	compareOff    = 5 * time.Second   // for a host to come back
	compareLoss   = 30 * time.Second
	compareLook   = 100 * time.Millisecond
	compareMTU    = 900
	compareBurst  = 200_000 // bytes, many segments
	compareSettle = 2 * time.Second
)

// A misfortune is what befalls the sessions of all rivals at the same time.
type misfortune struct {
	name     string
	client   behaviour
	upstream behaviour
	settings []string // Holdfast's, beside its defaults
	strikes  func(*comparison)
	survived bool // messages must come through afterwards; else the session must end
}

var talking = behaviour{TalkEvery: compareTalk}

// misfortunes are the rows of the table.
var misfortunes = []misfortune{
	{name: "the client's host is silent, nobody talks", strikes: func(c *comparison) { c.n.near.isSilent() }},
	{name: "the client's host is silent, the upstream talks", upstream: talking, strikes: func(c *comparison) { c.n.near.isSilent() }},
	{name: "the client's program is frozen, the upstream talks", upstream: talking, strikes: func(c *comparison) { freeze(c.clients) }},
	{name: "the upstream's host is silent, nobody talks", strikes: func(c *comparison) { c.n.far.isSilent() }},
	{name: "the upstream's host is silent, the client talks", client: talking, strikes: func(c *comparison) { c.n.far.isSilent() }},
	{name: "the upstream's program is frozen, the client talks", client: talking, strikes: func(c *comparison) { freeze(c.upstreams) }},
	{name: "what the client sends is lost, the upstream talks", upstream: talking, strikes: func(c *comparison) { c.n.near.loses(proxyAddress) }},
	{name: "what is sent to the client is lost, the client talks", client: talking, strikes: func(c *comparison) { c.n.near.loses(clientAddress) }},
	{name: "what the upstream sends is lost, the client talks", client: talking, strikes: func(c *comparison) { c.n.far.loses(farProxyAddress) }},
	{name: "what is sent to the upstream is lost, the upstream talks", upstream: talking, strikes: func(c *comparison) { c.n.far.loses(upstreamAddress) }},
	{name: "the client's host is off and back after 5 s, nobody talks", strikes: func(c *comparison) { c.off(c.n.near, c.clients) }},
	{name: "the upstream's host is off and back after 5 s, nobody talks", strikes: func(c *comparison) { c.off(c.n.far, c.upstreams) }},
	{name: "the path to the client loses large packets, the upstream sends 200 kB", strikes: func(c *comparison) {
		c.n.near.runs("", "ip", "link", "set", "dev", "peer", "gso_max_segs", "1")               // each packet goes alone
		c.n.client.runs("", "ip", "link", "set", "dev", "router", "mtu", fmt.Sprint(compareMTU)) // a veth drops what is larger than its peer's MTU
		tell(c.upstreams, command{Do: "send", Bytes: compareBurst, Size: frameSize})
	}},
	{name: "the path to the client has a smaller MTU and says so, the upstream sends 200 kB", survived: true,
		client: behaviour{TellEvery: compareBurst}, strikes: func(c *comparison) {
			c.n.near.runs("", "ip", "link", "set", "dev", "peer", "mtu", fmt.Sprint(compareMTU))
			tell(c.upstreams, command{Do: "send", Bytes: compareBurst, Size: frameSize})
		}},
	{name: "all is lost for 30 s before the client, the upstream talks; Holdfast with a timeout of 60 s", survived: true,
		client: behaviour{TellEvery: talkSize}, upstream: talking, settings: []string{"HOLDFAST_PING_TIMEOUT=60s"},
		strikes: func(c *comparison) { loss(c.n.near, c.clients) }},
	{name: "all is lost for 30 s before the upstream, the client talks; Holdfast with a timeout of 60 s", survived: true,
		client: talking, upstream: behaviour{TellEvery: talkSize}, settings: []string{"HOLDFAST_PING_TIMEOUT=60s"},
		strikes: func(c *comparison) { loss(c.n.far, c.upstreams) }},
}

func freeze(peers []*peer) {
	for _, p := range peers {
		p.Freezes()
	}
}

func tell(peers []*peer, what command) {
	for _, p := range peers {
		p.does(what)
	}
}

// off cuts a host's link, makes the host forget its connections, and joins the link again.
// What the host is sent then is answered by a reset.
func (c *comparison) off(l *link, peers []*peer) {
	l.isSilent()
	c.struck = time.Now()
	tell(peers, command{Do: "reset"})
	time.Sleep(compareOff)
	l.heals()
}

// loss loses all on a link for a while. What the peers have told before and meanwhile is
// forgotten, but for an end.
func loss(l *link, peers []*peer) {
	l.isSilent()
	time.Sleep(compareLoss)
	l.heals()
	for _, p := range peers {
		for range len(p.events) {
			if e := <-p.events; e.isEnd() {
				p.events <- e
			}
		}
	}
}

// A comparison is one network, with all rivals in its middle and a session through each.
type comparison struct {
	n                  *network
	clients, upstreams []*peer   // by rival
	struck             time.Time // when the misfortune had come
}

// TestCompare tells how long each proxy takes to end both connections of a session that
// something has befallen. It fails only for Holdfast: a session that must survive has
// ended, or one that must end has not.
func TestCompare(t *testing.T) {
	rows := make([][]string, len(misfortunes))
	t.Run("misfortunes", func(t *testing.T) {
		for i, m := range misfortunes {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				rows[i] = compare(t, m)
			})
		}
	})
	writeComparison(t, rows)
}

// takesPart says whether the proxy is here.
func (r rival) takesPart() bool {
	if r.program == "" {
		return true
	}
	_, err := exec.LookPath(r.program)
	return err == nil
}

// compare returns what became of each rival's session.
func compare(t *testing.T, m misfortune) []string {
	c := &comparison{n: newNetwork(t)}
	for i, r := range rivals {
		if !r.takesPart() {
			continue
		}
		listen, service := fmt.Sprintf("%s:%d", proxyAddress, 8080+i), fmt.Sprintf("%s:%d", upstreamAddress, 9000+i)
		server, visitor := m.upstream, m.client
		server.Server, server.At, visitor.At = true, service, listen
		upstream := startPeer(t, c.n.upstream, "the upstream of "+r.name, server)
		upstream.wants("listening", 1)
		proxy := startRival(t, c.n, r, listen, service, m.settings)
		proxy.Until("it listens", func() bool {
			conn, err := c.n.client.dial(t.Context(), "tcp", listen)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		client := startPeer(t, c.n.client, "the client of "+r.name, visitor)
		client.wants("opened", 1)
		upstream.wants("opened", 1)
		c.upstreams, c.clients = append(c.upstreams, upstream), append(c.clients, client)
	}
	time.Sleep(compareSettle) // until what opening brought about is over
	m.strikes(c)
	if c.struck.IsZero() {
		c.struck = time.Now() // not before: on a busy machine the commands take a while
	}
	cells := make([]string, len(rivals))
	var waiting sync.WaitGroup
	at := 0
	for i, r := range rivals {
		if !r.takesPart() {
			cells[i] = "not installed"
			continue
		}
		client, upstream := c.clients[at], c.upstreams[at]
		at++
		waiting.Go(func() {
			var lives bool
			if m.survived {
				cells[i], lives = survives(client, upstream)
			} else {
				cells[i], lives = c.ends(t, i)
			}
			if r.program == "" && lives != m.survived {
				t.Errorf("Holdfast: %s", cells[i])
			}
		})
	}
	waiting.Wait()
	return cells
}

func startRival(t *testing.T, n *network, r rival, listen, service string, settings []string) *blackbox.Process {
	if r.program == "" {
		cmd := n.proxy.command(binary)
		cmd.Env = append([]string{
			"HOLDFAST_UPSTREAM=ws://" + service,
			"HOLDFAST_LISTEN=" + listen,
			"HOLDFAST_ADMIN_LISTEN=off",
			"HOLDFAST_HEALTH_INTERVAL=0", // a check would be a connection more
			"HOLDFAST_UPSTREAM_PONG=require",
		}, settings...)
		return start(t, r.name, cmd)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, r.config)
	var text bytes.Buffer
	if err := peerTemplates.ExecuteTemplate(&text, r.config+".tmpl", struct{ Dir, Listen, Upstream string }{dir, listen, service}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := n.proxy.command(r.program, r.args(dir, config)...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return start(t, r.name, cmd)
}

// survives waits until the peer that is to hear something has heard it, or has ended.
func survives(client, upstream *peer) (told string, lives bool) {
	hears := client
	if upstream.hears {
		hears = upstream
	}
	deadline := time.After(compareLimit)
	for began := time.Now(); ; {
		select {
		case e, more := <-hears.events:
			switch {
			case !more || e.isEnd():
				return "ends", false
			case e.Event == "received":
				return fmt.Sprintf("survives: heard %.1f s later", time.Since(began).Seconds()), true
			}
		case <-deadline:
			return fmt.Sprintf("nothing is heard for %v", compareLimit), false
		}
	}
}

// ends waits until the proxy has closed both connections.
func (c *comparison) ends(t *testing.T, rival int) (told string, lives bool) {
	client, upstream := time.Duration(0), time.Duration(0)
	looks := time.NewTicker(compareLook)
	defer looks.Stop()
	for time.Since(c.struck) < compareLimit && (client == 0 || upstream == 0) {
		<-looks.C
		held := c.held(t, rival)
		if client == 0 && !held.client {
			client = time.Since(c.struck)
		}
		if upstream == 0 && !held.upstream {
			upstream = time.Since(c.struck)
		}
	}
	return shown(client) + ", " + shown(upstream), client == 0 || upstream == 0
}

// shown returns the time until a connection was closed; 0 means that it was not.
func shown(after time.Duration) string {
	if after == 0 {
		return "never"
	}
	return fmt.Sprintf("%.1f s", after.Seconds())
}

// A holding says which connections of its session a proxy has.
type holding struct{ client, upstream bool }

// held looks at the sockets of the proxies' host. A connection that the proxy has closed
// may live on in the kernel, but no process has it: its inode is 0.
func (c *comparison) held(t *testing.T, rival int) (h holding) {
	var tables []byte
	for _, name := range []string{"tcp", "tcp6"} { // a proxy may use sockets of IPv6 for IPv4
		table, err := os.ReadFile("/proc/" + c.n.proxy.pid() + "/net/" + name)
		if err != nil {
			t.Error(err)
		}
		tables = append(tables, table...)
	}
	for line := range strings.Lines(string(tables)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[9] == "0" || fields[9] == "inode" {
			continue
		}
		own, far := parseAddress(fields[1]), parseAddress(fields[2])
		h.client = h.client || far.Addr().String() == clientAddress && own.Port() == uint16(8080+rival)
		h.upstream = h.upstream || far.Addr().String() == upstreamAddress && far.Port() == uint16(9000+rival)
	}
	return h
}

// parseAddress reads an IPv4 address as /proc/net/tcp and tcp6 have it: hexadecimal, each
// four bytes in the order of the machine.
func parseAddress(s string) netip.AddrPort {
	const size = len("0100007F:1F90")
	s = s[max(0, len(s)-size):] // an IPv4 address is the end of one of IPv6
	var ip uint32
	var port uint16
	if _, err := fmt.Sscanf(s, "%08X:%04X", &ip, &port); err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(ip), byte(ip >> 8), byte(ip >> 16), byte(ip >> 24)}), port)
}

// The lines between which the table stands in docs/reliability.md.
const (
	comparisonBegins = "<!-- make compare writes this table -->"
	comparisonEnds   = "<!-- end of the table of make compare -->"
	reliability      = "../docs/reliability.md"
)

// writeComparison prints the table, and writes it into the documentation if there is a
// place for it.
func writeComparison(t *testing.T, rows [][]string) {
	var text strings.Builder
	text.WriteString("\n| what happens |")
	for _, r := range rivals {
		text.WriteString(" " + r.name + " |")
	}
	text.WriteString("\n|---|" + strings.Repeat("---|", len(rivals)) + "\n")
	for i, row := range rows {
		if row == nil {
			return // not all were played
		}
		fmt.Fprintf(&text, "| %s | %s |\n", misfortunes[i].name, strings.Join(row, " | "))
	}
	t.Log(text.String())
	before, err := os.ReadFile(reliability)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(before), comparisonBegins+"\n")
	_, tail, ends := strings.Cut(rest, comparisonEnds)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table", reliability)
	}
	after := head + comparisonBegins + "\n" + text.String() + "\n" + comparisonEnds + tail
	if err := os.WriteFile(reliability, []byte(after), 0o644); err != nil {
		t.Fatal(err)
	}
}
