package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy"
)

// Each element of a list is held to what a single upstream is held to, and named.
func TestListThatLeadsBack(t *testing.T) {
	names := map[string][]netip.Addr{"me.example": {netip.MustParseAddr("127.0.0.1")}}
	find := func(name string) []netip.Addr { return names[name] }
	const by = "that leads back to this proxy, which listens on "
	const remedy = "; name the service behind the proxy, or change that address"

	c := mustLoad(t, "HOLDFAST_UPSTREAM=ws://a:8080,ws://me.example:8080,ws://me.example:8081")
	got := c.loops(settings{}, find).Error()
	want := `HOLDFAST_UPSTREAM has an element "ws://me.example:8080" ` + by + "HOLDFAST_LISTEN=:8080" + remedy + "\n" +
		`HOLDFAST_UPSTREAM has an element "ws://me.example:8081" ` + by + "HOLDFAST_ADMIN_LISTEN=127.0.0.1:8081" + remedy
	if got != want {
		t.Errorf("by name:\n%s\nwant\n%s", got, want)
	}

	_, err := load("HOLDFAST_UPSTREAM=ws://127.0.0.1:8080,ws://a,ws://localhost:8081")
	want = `HOLDFAST_UPSTREAM="ws://127.0.0.1:8080,ws://a,ws://localhost:8081" has an element "ws://127.0.0.1:8080" ` + by + "HOLDFAST_LISTEN=:8080" + remedy + "\n" +
		`HOLDFAST_UPSTREAM="ws://127.0.0.1:8080,ws://a,ws://localhost:8081" has an element "ws://localhost:8081" ` + by + "HOLDFAST_ADMIN_LISTEN=127.0.0.1:8081" + remedy
	if err == nil || err.Error() != want {
		t.Errorf("by spelling:\n%v\nwant\n%s", err, want)
	}

	got = mustLoad(t, "HOLDFAST_UPSTREAM=unix:/run/a.sock,unix:/run/b.sock").LeadsBack("unix:/run/b.sock", "the socket").Error()
	want = `HOLDFAST_UPSTREAM="unix:/run/a.sock,unix:/run/b.sock" has an element "unix:/run/b.sock" ` + by + "the socket" + remedy
	if got != want {
		t.Errorf("a socket of systemd's:\n%s\nwant\n%s", got, want)
	}
}

// A setting about TLS is of use if one upstream has TLS.
func TestTLSOfSomeUpstreams(t *testing.T) {
	mustLoad(t, "HOLDFAST_UPSTREAM=ws://a,wss://b", "HOLDFAST_UPSTREAM_TLS_SERVER_NAME=c")
	_, err := load("HOLDFAST_UPSTREAM=ws://a,http://b", "HOLDFAST_UPSTREAM_TLS_SERVER_NAME=c")
	if want := `HOLDFAST_UPSTREAM_TLS_SERVER_NAME="c" ` + noTLS; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Each upstream has its own Host, and its own name in TLS.
func TestEachUpstreamHasItsOwnNames(t *testing.T) {
	const list = "HOLDFAST_UPSTREAM=wss://a.example,https://[::1]:9443,ws://c:9000,unix:/run/d.sock"
	type names struct{ server, host, health string }
	for _, tc := range []struct {
		environ []string
		want    []names
	}{
		{nil, []names{{"a.example", "", "a.example"}, {"::1", "", "[::1]:9443"}, {"", "", "c:9000"}, {"", "", "localhost"}}},
		{[]string{"HOLDFAST_UPSTREAM_HOST=upstream"},
			[]names{{"a.example", "a.example", "a.example"}, {"::1", "[::1]:9443", "[::1]:9443"}, {"", "c:9000", "c:9000"}, {"", "localhost", "localhost"}}},
		{[]string{"HOLDFAST_UPSTREAM_HOST=e:1", "HOLDFAST_UPSTREAM_TLS_SERVER_NAME=f"},
			[]names{{"f", "e:1", "e:1"}, {"f", "e:1", "e:1"}, {"", "e:1", "e:1"}, {"", "e:1", "e:1"}}},
	} {
		c, loaded, found := Load(append(tc.environ, list, "HOLDFAST_LISTEN=127.0.0.1:0"))
		if len(found) > 0 {
			t.Fatal(found)
		}
		var got []names
		for _, u := range c.Proxy(&loaded, nil, nil, nil).Upstreams {
			n := names{host: u.Host, health: u.HealthHost}
			if u.TLS != nil {
				n.server = u.TLS().ServerName
			}
			got = append(got, n)
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%v:\ngot  %v\nwant %v", tc.environ, got, tc.want)
		}
	}
}

// FuzzUpstreams: a list that is accepted is one also as it is shown, and so is each of its
// elements. They share a path, and no two are the same.
func FuzzUpstreams(f *testing.F) {
	for _, cases := range accepted["HOLDFAST_UPSTREAM"] {
		f.Add(cases.value)
	}
	for _, cases := range refused["HOLDFAST_UPSTREAM"] {
		f.Add(cases.value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		all, err := parseUpstreams(value)
		if err != nil {
			return
		}
		again, err := parseUpstreams(all.String())
		if err != nil || again.String() != all.String() {
			t.Errorf("%q is shown as %q, which is %q, %v", value, all, again, err)
		}
		var targets []string
		for _, u := range all {
			if alone, err := parseUpstreams(u.String()); err != nil || len(alone) != 1 || alone[0].place() != u.place() {
				t.Errorf("%q has the element %q, which alone is %v, %v", value, u, alone, err)
			}
			if slices.ContainsFunc(all, func(v Upstream) bool { return v.URL != u.URL && v.place() == u.place() }) {
				t.Errorf("%q has %q twice", value, u)
			}
			targets = append(targets, proxy.UpstreamTarget(u.URL, "/x"))
		}
		if slices.Sort(targets); len(slices.Compact(targets)) != 1 {
			t.Errorf("%q puts different paths before requests", value)
		}
		if strings.TrimSpace(value) == "" {
			t.Error("nothing is accepted")
		}
	})
}
