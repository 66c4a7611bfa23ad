package web

import (
	"io"
	"net/http"
	"sync/atomic"
)

// body is a request's body on its way to the upstream. It says how it ended, and
// brings the trailer fields along once they are known. One goroutine at a time reads it.
type body struct {
	io.ReadCloser               // the client's
	from          *http.Request // whose Trailer net/http fills at the end
	trailer       http.Header   // of the request to the upstream: the names are there, the values to come
	goAhead       func() bool   // asks the client for it; nil if it comes unasked, or is asked for already
	progress      *progress

	awaited atomic.Bool // the client is to send more of it
	ended   atomic.Bool // it came whole
	broken  atomic.Bool // it is malformed, or the client went away in its middle
}

// Read reads the client's body until its end. The end is the end for all later reads too:
// the transport looks for more behind a Content-Length, and by then the upstream may have
// answered, and net/http's server closed the body.
func (b *body) Read(p []byte) (int, error) {
	if b.ended.Load() {
		return 0, io.EOF
	}
	if b.goAhead != nil {
		if !b.goAhead() { // a read would make net/http ask
			return 0, errStalled
		}
		b.goAhead = nil
	}
	b.awaited.Store(true)
	n, err := b.ReadCloser.Read(p)
	b.awaited.Store(false)
	b.progress.move(n)
	switch {
	case err == io.EOF:
		for name := range b.trailer {
			b.trailer[name] = b.from.Trailer[name]
		}
		b.ended.Store(true)
	case err != nil:
		b.broken.Store(true)
	}
	return n, err
}
