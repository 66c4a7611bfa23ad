package config

import (
	"testing"

	"holdfast/proxy"
)

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
