package upgrade

import (
	"maps"
	"net/http"
	"slices"
	"testing"
)

// What an answer other than a 101 says of one hop is dropped by the table of package
// field, under any spelling. Sec-WebSocket-Version tells the client what to try.
func TestStripHop(t *testing.T) {
	answer := http.Header{
		"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"5"}, "Keep_alive": {"5"}, "Http2-Settings": {"a"},
		"Content-Length": {"1"}, "Transfer-Encoding": {"chunked"}, "Te": {"a"}, "Trailer": {"X-Sum"}, "Upgrade": {"h2c"},
		"Proxy-Authenticate": {"Basic"}, "X-A": {"b"}, "Sec-Websocket-Version": {"13"}, "Set-Cookie": {"c=d"},
	}
	named := StripHop(answer)
	want := []string{"Sec-Websocket-Version", "Set-Cookie", "X-A"}
	if got := slices.Sorted(maps.Keys(answer)); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	for name, want := range map[string]bool{"X-Hop": false, "x-hop": false, "X-A": true, "X-Forwarded-For": false, "TE": false} {
		if got := named.PassesInTrailer(name); got != want {
			t.Errorf("%s passes in the trailer: %t, want %t", name, got, want)
		}
	}
}
