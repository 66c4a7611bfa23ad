package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/fixture"
)

// A name is looked up if an own listener has its port.
func TestUpstreamThatIsTheProxyByName(t *testing.T) {
	names := map[string][]netip.Addr{
		"me.example":       {netip.MustParseAddr("127.0.0.1")},
		"both.example":     {netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("::1")},
		"mapped.example":   {netip.MustParseAddr("::ffff:127.0.0.1")},
		"service.example":  {netip.MustParseAddr("192.0.2.7")},
		"localhost":        {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")},
		"listener.example": {netip.MustParseAddr("192.0.2.7")},
	}
	for _, tc := range []struct{ upstream, listen, admin, by string }{
		{"ws://me.example:8070", ":8070", "off", "HOLDFAST_LISTEN"},
		{"ws://me.example:8070", "127.0.0.1:8070", "off", "HOLDFAST_LISTEN"},
		{"ws://me.example:8070", "[::1]:8070", "off", ""},
		{"ws://both.example:8070", "[::1]:8070", "off", "HOLDFAST_LISTEN"},
		{"ws://mapped.example:8070", ":8070", "off", "HOLDFAST_LISTEN"},
		{"ws://localhost:8070", "[::1]:8070", "off", "HOLDFAST_LISTEN"},
		{"ws://service.example:8070", "listener.example:8070", "off", "HOLDFAST_LISTEN"},
		{"ws://service.example:8070", ":8070", "off", ""},
		{"ws://me.example:8081", ":8070", "127.0.0.1:8081", "HOLDFAST_ADMIN_LISTEN"},
		{"ws://me.example:8090", ":8070", "127.0.0.1:8081", ""},
		{"ws://unknown.example:8070", ":8070", "off", ""},
	} {
		asked := 0
		c := mustLoad(t, "HOLDFAST_UPSTREAM="+tc.upstream, "HOLDFAST_LISTEN="+tc.listen, "HOLDFAST_ADMIN_LISTEN="+tc.admin)
		got := c.loops(settings{}, func(name string) []netip.Addr { asked++; return names[name] }).Error()
		if (tc.by == "") != (got == "") || !strings.Contains(got, tc.by) {
			t.Errorf("%s behind %s and %s: %q, want one with %s", tc.upstream, tc.listen, tc.admin, got, tc.by)
		}
		if strings.HasSuffix(tc.upstream, ":8090") && asked > 0 {
			t.Error("a name is looked up though no listener has its port")
		}
	}
}

// A path leads where its links lead.
func TestUpstreamThatIsTheProxysSocket(t *testing.T) {
	dir := t.TempDir()
	real, link, folder := filepath.Join(dir, "a.sock"), filepath.Join(dir, "b.sock"), filepath.Join(dir, "folder")
	for target, at := range map[string]string{"a.sock": link, dir: folder} {
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	for upstream, want := range map[string]bool{
		real:                                 true,
		link:                                 true, // though nothing is there yet
		folder + "/a.sock":                   true,
		folder + "/b.sock":                   true,
		dir + "//./a.sock":                   true,
		filepath.Join(dir, "c.sock"):         false,
		filepath.Join(dir, "none", "a.sock"): false,
	} {
		c := mustLoad(t, "HOLDFAST_UPSTREAM=unix:"+upstream, "HOLDFAST_LISTEN=:8080")
		if got := len(c.LeadsBack("unix:"+real, "it")) > 0; got != want {
			t.Errorf("%s leads to %s: %v, want %v", upstream, real, got, want)
		}
	}
	listener := fixture.Listen(t, "unix", real)
	defer listener.Close()
	c := mustLoad(t, "HOLDFAST_UPSTREAM=unix:"+link)
	if len(c.LeadsBack("unix:"+real, "it")) == 0 {
		t.Error("a link to a socket that is there is not followed")
	}
	if len(c.LeadsBack("127.0.0.1:8080", "it")) > 0 {
		t.Error("a path is taken for an address")
	}
}

// Load, which the start and check use, follows links and names.
func TestLoadRefusesALoopByAnotherName(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	_, _, found := Load([]string{"HOLDFAST_UPSTREAM=unix:" + dir + "/folder/a.sock", "HOLDFAST_LISTEN=unix:" + dir + "/a.sock"})
	if len(found) != 1 || !strings.Contains(found.Error(), "leads back to this proxy, which listens on HOLDFAST_LISTEN=unix:") {
		t.Errorf("found %v", found)
	}
}
