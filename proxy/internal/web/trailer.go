package web

import (
	"io"
	"net/http"
	"strings"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/upgrade"
)

// answers is the upstream's transport. It filters the trailers of what it is answered.
type answers struct{ http.RoundTripper }

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := a.RoundTripper.RoundTrip(r)
	if err == nil {
		FilterTrailer(answer, upgrade.NamedBy(answer.Header[field.Connection]))
	}
	return answer, err
}

// FilterTrailer keeps fields that may not be in a trailer out of an answer's: out of those
// that are announced and, once the body has been read, out of those that came. net/http
// has read the answer. named are the fields that its Connection named.
func FilterTrailer(answer *http.Response, named upgrade.Named) {
	if len(answer.TransferEncoding) == 0 { // there is no trailer without chunks
		return
	}
	if answer.Trailer == nil {
		answer.Trailer = http.Header{} // where net/http puts what comes unannounced
	}
	b := &trailed{ReadCloser: answer.Body, trailer: answer.Trailer, named: named}
	b.filter()
	answer.Body = b
}

// trailed is the body of an answer that may have a trailer.
type trailed struct {
	io.ReadCloser
	trailer http.Header
	named   upgrade.Named
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.filter()
	}
	return n, err
}

// Close may be what reads the trailer.
func (b *trailed) Close() error {
	err := b.ReadCloser.Close()
	b.filter()
	return err
}

func (b *trailed) filter() {
	for name, values := range b.trailer {
		bare := strings.TrimRight(name, " ") // net/http keeps the white space before a colon
		switch {
		case !b.named.PassesInTrailer(bare):
			delete(b.trailer, name)
		case bare != name:
			delete(b.trailer, name)
			b.trailer[http.CanonicalHeaderKey(bare)] = values
		}
	}
}
