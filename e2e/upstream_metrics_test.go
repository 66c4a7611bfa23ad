//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"holdfast/internal/blackbox"
)

// ofAddress names the series of a family that has one for each address of an upstream, if
// the host of url is an address, or if url names a socket.
func ofAddress(family, url string) string {
	address := strings.TrimPrefix(strings.TrimPrefix(url, "ws://"), "unix:")
	return fmt.Sprintf(`%s{address=%q,upstream=%q}`, family, address, url)
}

// isUp names the series that says whether the service works.
func isUp(url string) string { return ofAddress("holdfast_upstream_up", url) }

// sessionsAt names the series of the sessions that are open to the service.
func sessionsAt(url string) string { return ofAddress("holdfast_upstream_sessions_active", url) }

// handshakesAt names the series of attempts at the service that ended like that.
func handshakesAt(url, result string) string {
	return fmt.Sprintf(`holdfast_upstream_handshakes_total{result=%q,upstream=%q}`, result, url)
}

// droppedAt names the series of sessions that were dropped with the service at fault.
func droppedAt(url, reason string) string {
	return fmt.Sprintf(`holdfast_upstream_sessions_dropped_total{reason=%q,upstream=%q}`, reason, url)
}

// upstreamReasons are the reasons for which a session is dropped with an upstream at fault.
var upstreamReasons = []string{
	"ping_timeout", "write_timeout", "close_timeout", "eof", "reset", "io_error", "protocol_error", "too_big",
}

// droppedInAll returns how many sessions were dropped for the reasons, with the service at
// fault.
func droppedInAll(scrape blackbox.Scrape, url string, reasons ...string) (sum float64) {
	for _, reason := range reasons {
		sum += scrape.Value(droppedAt(url, reason))
	}
	return sum
}

// An upstreamStatus is what the admin listener says of one address of an upstream.
type upstreamStatus struct {
	Name     string // of the upstream in paths of the admin listener
	Upstream string // its label
	Address  string
	State    string
	Sessions int
	Reason   string // why it is down
}

// asksAdmin asks the admin listener for a path and reads its JSON. It returns the status.
func (h *holdfast) asksAdmin(method, path string, into any) int {
	h.T.Helper()
	request, err := http.NewRequestWithContext(h.T.Context(), method, h.Admin+path, nil)
	if err != nil {
		h.T.Fatal(err)
	}
	response, body := answer(h.T, request)
	if into != nil {
		if err := json.Unmarshal([]byte(body), into); err != nil {
			h.T.Fatalf("%s %s is answered with %d %q: %v", method, path, response.StatusCode, body, err)
		}
	}
	return response.StatusCode
}

// series returns the lines of a family that have labels.
func series(scrape blackbox.Scrape, family string) string {
	var lines strings.Builder
	for line := range strings.Lines(string(scrape.Text)) {
		if strings.HasPrefix(line, family+"{") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}
