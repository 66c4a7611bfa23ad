package proxy

import (
	"io"
	"net/http"

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
	var read []byte
	looked := 0 // how much of read has been searched for the head's end
	chunk := make([]byte, limit)
	for {
		end := upgrade.HeadEnd(read, looked)
		looked = len(read)
		if end > limit || end < 0 && len(read) > limit {
			return nil, errHeadTooLarge
		}
		if end < 0 {
			n, err := from.Read(chunk)
			if err != nil && n == 0 {
				return nil, err
			}
			read = append(read, chunk[:n]...)
			if err := upgrade.CheckStart(read); err != nil {
				return nil, err
			}
			continue
		}
		r, err := upgrade.ParseResponse(read[:end])
		if err != nil {
			return nil, err
		}
		read, looked = read[end:], 0
		switch {
		case r.Interim():
			continue
		case r.Status == http.StatusSwitchingProtocols:
			_, err = upgrade.ExpectKey(key).CheckAnswer(r)
		}
		return &UpstreamAnswer{r.Status, r.Fields, read}, err
	}
}
