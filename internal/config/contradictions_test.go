package config

import (
	"fmt"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/proxy"
)

// Profiles are served by the admin listener.
func TestProfilesWithoutAListener(t *testing.T) {
	_, err := load(someUpstream, "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_PPROF=true")
	const want = `HOLDFAST_PPROF="true" has no effect with HOLDFAST_ADMIN_LISTEN=off, since the admin listener serves the profiles; unset one of them`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	mustLoad(t, someUpstream, "HOLDFAST_ADMIN_LISTEN=off", "HOLDFAST_PPROF=false")
}

// So is the token taken by it.
func TestTokenWithoutAListener(t *testing.T) {
	file := fixture.Write(t, "token", "s3cret-s3cret-s3cret")
	for from, value := range map[string]string{"HOLDFAST_ADMIN_TOKEN": "s3cret-s3cret-s3cret", "HOLDFAST_ADMIN_TOKEN_FILE": file} {
		_, err := load(someUpstream, "HOLDFAST_ADMIN_LISTEN=off", from+"="+value)
		want := from + " has no effect with HOLDFAST_ADMIN_LISTEN=off, since the token is for the admin listener; unset one of them"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A field that every request is given says nothing about its client.
func TestHashOfAFieldThatIsSet(t *testing.T) {
	const set = "HOLDFAST_UPSTREAM_HEADERS=X-One=1;X-User=s3cret"
	_, err := load(someUpstream, set, "HOLDFAST_BALANCE=hash:header:x_user")
	const want = `HOLDFAST_BALANCE="hash:header:x_user" names a field that HOLDFAST_UPSTREAM_HEADERS sets, whatever the client sends; name another field, or leave it out there`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	mustLoad(t, someUpstream, set, "HOLDFAST_BALANCE=hash:header:X-Two")
	mustLoad(t, someUpstream, set, "HOLDFAST_BALANCE=hash:cookie:X-User")
}

// Fewer sessions than were asked for hold, and nobody is to find that out under load.
func TestMoreSessionsThanDescriptors(t *testing.T) {
	d := proxy.Descriptors{Limit: 1024, Loops: 2}
	for _, tc := range []struct{ max, warning string }{
		{"0", ""},
		{"380", ""},
		{"381", `HOLDFAST_MAX_SESSIONS="381" is more than the limit of file descriptors allows, which is 1024: at most 380 sessions hold; ` +
			"set at most that, or raise the limit (ulimit -Hn) to 1026"},
		{"1073741660", `HOLDFAST_MAX_SESSIONS="1073741660" is more than the limit of file descriptors allows, which is 1024: at most 380 sessions hold; ` +
			"set at most that, or raise the limit (ulimit -Hn) to 2147483584"},
		{"1073741661", `HOLDFAST_MAX_SESSIONS="1073741661" is more than the limit of file descriptors allows, which is 1024: at most 380 sessions hold; ` +
			"set at most that, since no limit would be enough"},
	} {
		if got := mustLoad(t, someUpstream, "HOLDFAST_MAX_SESSIONS="+tc.max).maxSessionsWarning(d).Error(); got != tc.warning {
			t.Errorf("%s sessions: warns %q, want %q", tc.max, got, tc.warning)
		}
	}
}

// With so few descriptors that hardly a session holds, an operator is told at once, and
// not by the second client's 503.
func TestFewDescriptors(t *testing.T) {
	for _, tc := range []struct {
		limit   int64
		max     string
		warning string
	}{
		{256, "100", `HOLDFAST_MAX_SESSIONS="100" is more than the limit of file descriptors allows, which is 256: at most 92 sessions hold; ` +
			"set at most that, or raise the limit (ulimit -Hn) to 277"},
		{256, "1", `HOLDFAST_MAX_SESSIONS="1" holds, but the limit of file descriptors, which is for all connections together, is only 256; raise the limit (ulimit -Hn) to 1024 or more`},
		{1023, "10", `HOLDFAST_MAX_SESSIONS="10" holds, but the limit of file descriptors, which is for all connections together, is only 1023; raise the limit (ulimit -Hn) to 1024 or more`},
		{1024, "10", ""},
		{32, "0", "HOLDFAST_MAX_SESSIONS is not set, and the limit of file descriptors allows few, as it is 32: at most 2 sessions hold; " +
			"raise the limit (ulimit -Hn), to 2264 for 1000 sessions"},
		{30, "0", "HOLDFAST_MAX_SESSIONS is not set, and the limit of file descriptors allows few, as it is 30: at most one session holds; " +
			"raise the limit (ulimit -Hn), to 2264 for 1000 sessions"},
		{1023, "0", "HOLDFAST_MAX_SESSIONS is not set, and the limit of file descriptors allows few, as it is 1023: at most 380 sessions hold; " +
			"raise the limit (ulimit -Hn), to 2264 for 1000 sessions"},
		{1024, "0", ""},
	} {
		d := proxy.Descriptors{Limit: tc.limit, Loops: 2}
		if got := mustLoad(t, someUpstream, "HOLDFAST_MAX_SESSIONS="+tc.max).maxSessionsWarning(d).Error(); got != tc.warning {
			t.Errorf("%s sessions of %d descriptors: warns %q, want %q", tc.max, tc.limit, got, tc.warning)
		}
	}
}

func TestSessionLimit(t *testing.T) {
	d := proxy.Descriptors{Limit: 1024, Loops: 2}
	for max, want := range map[string]string{
		"0":   "380 by the limit of 1024 file descriptors",
		"100": "100 by HOLDFAST_MAX_SESSIONS",
		"380": "380 by HOLDFAST_MAX_SESSIONS",
		"381": "380 by the limit of 1024 file descriptors",
	} {
		limit, from := mustLoad(t, someUpstream, "HOLDFAST_MAX_SESSIONS="+max).sessionLimit(d)
		if got := fmt.Sprintf("%d by %s", limit, from); got != want {
			t.Errorf("MAX_SESSIONS=%s: %s, want %s", max, got, want)
		}
	}
}

// What is accepted, and hardly meant.
func TestWarnings(t *testing.T) {
	const noPings = "no connection is kept alive, and no dead peer is found"
	for _, tc := range []struct {
		environ []string
		warning string
	}{
		{nil, ""},
		{[]string{"HOLDFAST_PING_INTERVAL=0"}, `HOLDFAST_PING_INTERVAL="0" sends no pings on either leg: ` + noPings + "; unset it, or set the interval of one leg"},
		{[]string{"HOLDFAST_CLIENT_PING_INTERVAL=0", "HOLDFAST_UPSTREAM_PING_INTERVAL=0"},
			`HOLDFAST_CLIENT_PING_INTERVAL="0" sends no pings, and neither does HOLDFAST_UPSTREAM_PING_INTERVAL: ` + noPings + "; unset one of them"},
		{[]string{"HOLDFAST_PING_INTERVAL=0", "HOLDFAST_CLIENT_PING_INTERVAL=20s"}, ""},
		{[]string{"HOLDFAST_UPSTREAM_PING_INTERVAL=0"}, ""},
		{[]string{"HOLDFAST_MAX_SESSIONS_PER_IP=5"}, ""},
		{[]string{"HOLDFAST_MAX_SESSIONS_PER_IP=5", "HOLDFAST_LISTEN=unix:/run/a.sock", "HOLDFAST_TRUSTED_PROXIES=10.0.0.0/8"}, `HOLDFAST_MAX_SESSIONS_PER_IP="5" limits nobody, ` +
			"since clients of a unix socket have no address; add unix: to HOLDFAST_TRUSTED_PROXIES if they are proxies that name the client, or unset it"},
		{[]string{"HOLDFAST_MAX_SESSIONS_PER_IP=5", "HOLDFAST_LISTEN=unix:/run/a.sock", "HOLDFAST_TRUSTED_PROXIES=unix:"}, ""},
		{[]string{"HOLDFAST_LISTEN=unix:/run/a.sock"}, ""},
		{[]string{"HOLDFAST_BALANCE=hash:ip"}, ""},
		{[]string{"HOLDFAST_BALANCE=hash:ip", "HOLDFAST_LISTEN=unix:/run/a.sock", "HOLDFAST_TRUSTED_PROXIES=10.0.0.0/8"}, `HOLDFAST_BALANCE="hash:ip" cannot tell clients apart, ` +
			"since clients of a unix socket have no address; add unix: to HOLDFAST_TRUSTED_PROXIES if they are proxies that name the client, or write another rule"},
		{[]string{"HOLDFAST_BALANCE=hash:ip", "HOLDFAST_LISTEN=unix:/run/a.sock", "HOLDFAST_TRUSTED_PROXIES=unix:"}, ""},
		{[]string{"HOLDFAST_BALANCE=hash:cookie:a", "HOLDFAST_LISTEN=unix:/run/a.sock"}, ""},
		{[]string{"HOLDFAST_MAX_FRAME_SIZE=1MiB", "HOLDFAST_MAX_MESSAGE_SIZE=64KiB"},
			`HOLDFAST_MAX_FRAME_SIZE="1048576" has no effect with HOLDFAST_MAX_MESSAGE_SIZE=65536, since a frame is a part of a message; write at most that, or unset it`},
		{[]string{"HOLDFAST_MAX_FRAME_SIZE=64KiB", "HOLDFAST_MAX_MESSAGE_SIZE=64KiB"}, ""},
		{[]string{"HOLDFAST_MAX_FRAME_SIZE=64KiB"}, ""},
		{[]string{"HOLDFAST_DRAIN_TIMEOUT=10s"}, ""},
		{[]string{"HOLDFAST_DRAIN_TIMEOUT=9s"}, `HOLDFAST_DRAIN_TIMEOUT="9s" is shorter than HOLDFAST_CLOSE_TIMEOUT=10s: ` +
			"a stop cuts peers that had time left to answer their Close, and exits with 1; write at least that"},
		{[]string{"HOLDFAST_DRAIN_TIMEOUT=0s", "HOLDFAST_CLOSE_TIMEOUT=1s"}, `HOLDFAST_DRAIN_TIMEOUT="0s" is shorter than HOLDFAST_CLOSE_TIMEOUT=1s: ` +
			"a stop cuts peers that had time left to answer their Close, and exits with 1; write at least that"},
		{[]string{"HOLDFAST_UPSTREAM_HEADERS=origin=https://app.example.com"}, "HOLDFAST_UPSTREAM_HEADERS sets Origin, so the service cannot tell whose page asks, " +
			"and any page may open sessions; set HOLDFAST_ALLOWED_ORIGINS"},
		{[]string{"HOLDFAST_UPSTREAM_HEADERS=Origin=https://app.example.com", "HOLDFAST_ALLOWED_ORIGINS=https://app.example.com"}, ""},
	} {
		if got := mustLoad(t, append(tc.environ, someUpstream)...).Warnings().Error(); got != tc.warning {
			t.Errorf("%v: warns\n%s\nwant\n%s", tc.environ, got, tc.warning)
		}
	}
}

// SIGTERM takes the three times of a drain. SIGINT has neither a delay nor a spread, and leaves
// each close its time.
func TestStops(t *testing.T) {
	c := mustLoad(t, someUpstream, "HOLDFAST_DRAIN_DELAY=1s", "HOLDFAST_DRAIN_SPREAD=2s", "HOLDFAST_DRAIN_TIMEOUT=30s", "HOLDFAST_CLOSE_TIMEOUT=4s")
	if got, want := c.Stop(), (proxy.Stop{Delay: time.Second, Spread: 2 * time.Second, Timeout: 30 * time.Second}); got != want {
		t.Errorf("SIGTERM means %+v, want %+v", got, want)
	}
	if got, want := c.StopAtOnce(), (proxy.Stop{Timeout: 7 * time.Second}); got != want {
		t.Errorf("SIGINT means %+v, want %+v", got, want)
	}
}
