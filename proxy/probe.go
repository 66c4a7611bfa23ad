package proxy

import (
	"io"
	"net/http"

	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/upgrade"
)

// An UpstreamAnswer is an upstream's final answer to an upgrade.
type UpstreamAnswer struct {
	Status int
	Fields HeaderFields
	Early  []byte // what came behind its head
}

// ErrUpstreamTLS is within the error of an upstream that speaks TLS and was spoken to
// without it.
var ErrUpstreamTLS error = upgrade.ErrTLS

// ReadUpstreamAnswer reads the answer to an upgrade that has this Sec-WebSocket-Key and
// offers nothing, by the rules for sessions. It is for a caller that tries an upstream out.
// An error means that no session could open: the answer is not HTTP, its head is larger
// than limit, or its 101 is wrong. A refusal is not an error.
func ReadUpstreamAnswer(from io.Reader, key string, limit int) (*UpstreamAnswer, error) {
	r, early, err := backend.ReadAnswer(from, limit)
	if err != nil {
		return nil, err
	}
	if r.Status == http.StatusSwitchingProtocols {
		_, err = upgrade.ExpectKey(key).CheckAnswer(r)
	}
	return &UpstreamAnswer{r.Status, r.Fields, early}, err
}
