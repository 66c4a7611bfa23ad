package upgrade

import (
	"net/http"
	"strings"

	"holdfast/proxy/internal/field"
)

// A proxy whose upstream leads back to it would pass a request on until it has no
// descriptor left. So each request upstream carries the proxy's name in CDN-Loop, whose
// purpose that is (RFC 8586). Via has the same purpose, but some servers do not compress
// what they answer to a request with Via.
//
// The name is random and a process's own. A client that learns it can only have its own
// requests refused.

// RefuseLoop answers a request that has passed the proxy before.
var RefuseLoop = &Refusal{
	Status: http.StatusLoopDetected,
	Reason: "The request has come through this proxy before: its upstream leads back to it.",
}

// HasPassed reports whether the request has passed the proxy of that name. The name may be
// empty; no request has passed such a proxy.
func (r *Request) HasPassed(name string) bool {
	for value := range r.Fields.Values(field.CDNLoop) {
		if name != "" && strings.Contains(value, name) {
			return true
		}
	}
	return false
}
