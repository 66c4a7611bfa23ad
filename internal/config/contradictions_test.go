package config

import (
	"testing"

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

// Fewer sessions than were asked for hold, and nobody is to find that out under load.
func TestMoreSessionsThanDescriptors(t *testing.T) {
	d := proxy.Descriptors{Limit: 1024, Reserved: 264}
	for _, tc := range []struct{ max, warning string }{
		{"0", ""},
		{"380", ""},
		{"381", `HOLDFAST_MAX_SESSIONS="381" is more than the limit of file descriptors allows, which is 1024: at most 380 sessions hold; ` +
			"set at most that, or raise the limit (ulimit -Hn) to 1026"},
	} {
		if got := mustLoad(t, someUpstream, "HOLDFAST_MAX_SESSIONS="+tc.max).maxSessionsWarning(d).Error(); got != tc.warning {
			t.Errorf("%s sessions: warns %q, want %q", tc.max, got, tc.warning)
		}
	}
}
