package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The kernel must not give a connection up before the proxy's own timeouts are over.
func TestUserTimeoutFollowsTheLongestTimeout(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		want    time.Duration
		shown   string
	}{
		{nil, 60 * time.Second, "60s"},
		{[]string{"HOLDFAST_PING_TIMEOUT=2m"}, 130 * time.Second, "130s"},
		{[]string{"HOLDFAST_CLIENT_PING_TIMEOUT=50500ms"}, 60500 * time.Millisecond, "60.5s"},
		{[]string{"HOLDFAST_UPSTREAM_PING_TIMEOUT=51s"}, 61 * time.Second, "61s"},
		{[]string{"HOLDFAST_WRITE_TIMEOUT=1h"}, time.Hour + 10*time.Second, "3610s"},
		{[]string{"HOLDFAST_CLOSE_TIMEOUT=60s"}, 70 * time.Second, "70s"},
		{[]string{"HOLDFAST_DIAL_TIMEOUT=80s"}, 90 * time.Second, "90s"},
		{[]string{"HOLDFAST_PING_TIMEOUT=0", "HOLDFAST_WRITE_TIMEOUT=1s", "HOLDFAST_CLOSE_TIMEOUT=1s"}, time.Minute, "60s"},
		{[]string{"HOLDFAST_CLOSE_TIMEOUT=8760h"}, 596 * time.Hour, "2145600s"}, // the kernel takes no more
	} {
		c := mustLoad(t, append(tc.environ, someUpstream)...)
		if c.TCPUserTimeout != tc.want {
			t.Errorf("%v: %v, want %v", tc.environ, c.TCPUserTimeout, tc.want)
		}
		if found := c.userTimeoutWarning(); len(found) > 0 {
			t.Errorf("%v: warns of its own default: %v", tc.environ, found)
		}
		shown := fmt.Sprintf("\"value\": %q,\n    \"from\": \"derived\"", tc.shown)
		if out := printed(t, "json", append(tc.environ, someUpstream)...); !strings.Contains(out, shown) {
			t.Errorf("%v: %s is not in\n%s", tc.environ, shown, out)
		}
	}
	const commented = "#HOLDFAST_TCP_USER_TIMEOUT=70s\n"
	if out := printed(t, "dotenv", someUpstream, "HOLDFAST_WRITE_TIMEOUT=1m"); !strings.Contains(out, commented) {
		t.Errorf("%s is not in\n%s", commented, out)
	}
}

func TestUserTimeoutThatCutsOthersShort(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		warning string
	}{
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=29s"}, `HOLDFAST_TCP_USER_TIMEOUT="29s" is shorter than HOLDFAST_WRITE_TIMEOUT=30s, ` +
			"the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least 60s"},
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=3s", "HOLDFAST_WRITE_TIMEOUT=60s"}, `HOLDFAST_TCP_USER_TIMEOUT="3s" is shorter than HOLDFAST_WRITE_TIMEOUT=60s, ` +
			"the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least 70s"},
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=5s", "HOLDFAST_PING_TIMEOUT=1m"}, `HOLDFAST_TCP_USER_TIMEOUT="5s" is shorter than HOLDFAST_PING_TIMEOUT=60s, ` +
			"the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least 70s"},
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=5s", "HOLDFAST_PING_TIMEOUT=1m", "HOLDFAST_CLIENT_PING_TIMEOUT=1s"}, `HOLDFAST_TCP_USER_TIMEOUT="5s" is shorter than HOLDFAST_PING_TIMEOUT=60s, ` +
			"the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least 70s"},
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=5s", "HOLDFAST_CLIENT_PING_TIMEOUT=1m"}, `HOLDFAST_TCP_USER_TIMEOUT="5s" is shorter than HOLDFAST_CLIENT_PING_TIMEOUT=60s, ` +
			"the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least 70s"},
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=30s"}, ""},
		{[]string{"HOLDFAST_TCP_USER_TIMEOUT=0"}, ""}, // the kernel's default
	} {
		if got := mustLoad(t, append(tc.environ, someUpstream)...).Warnings().Error(); got != tc.warning {
			t.Errorf("%v: warns %q, want %q", tc.environ, got, tc.warning)
		}
	}
}
