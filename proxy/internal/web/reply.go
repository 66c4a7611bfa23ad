package web

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/upgrade"
)

// reply is the answer to a client. It keeps net/http from adding fields, and interim
// answers from getting into each other's way: the transport sends those by goroutines
// of its own, while the handler's waits for the final one.
type reply struct {
	http10   bool      // the client speaks HTTP/1.0
	body     *body     // of the request that goes upstream; nil if none does, or it has none
	progress *progress // of that request; nil if none goes upstream
	closing  bool      // the connection ends with it
	patience time.Duration

	mu     sync.Mutex // guards what follows, and the use of to before the final answer
	to     http.ResponseWriter
	header http.Header // of the next answer; that of to, once the final one has begun
	as     spelling    // of the upstream's answer
	status int         // of the final answer; 0 before it
}

func newReply(to http.ResponseWriter, r *http.Request, patience time.Duration) *reply {
	return &reply{http10: r.ProtoMinor == 0, closing: r.Close, patience: patience, to: to, header: make(http.Header)}
}

// Header is an http.ResponseWriter's: of the next answer, and of its trailer
// once it has begun.
func (r *reply) Header() http.Header { return r.header }

// Write goes on with the final answer.
func (r *reply) Write(b []byte) (int, error) { return r.to.Write(b) }

// allow gives the client its time to take the proxy's own words, or the end of an answer.
// While an answer is passed on, its progress is watched instead.
func (r *reply) allow() { r.takeBy(time.Now().Add(r.patience)) }

// takeBy is how long the client may take what is written. The zero time is forever.
func (r *reply) takeBy(deadline time.Time) {
	_ = http.NewResponseController(r.to).SetWriteDeadline(deadline) // it fails only if the connection is gone
}

// interrupt ends what waits for the client. The connection's end of a body that came whole
// is net/http's to notice.
func (r *reply) interrupt() {
	r.takeBy(longAgo)
	if r.body != nil && !r.body.ended.Load() {
		_ = http.NewResponseController(r.to).SetReadDeadline(longAgo) // it fails only if the connection is gone
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Unwrap is for http.ResponseController.
func (r *reply) Unwrap() http.ResponseWriter { return r.to }

// WriteHeader begins the final answer, or sends an interim one.
func (r *reply) WriteHeader(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if status/100 == 1 {
		r.interim(status)
		return
	}
	if status == http.StatusUpgradeRequired {
		respell(r.header, field.Connection) // during a stop net/http deletes it under its own name, and says close
	}
	r.closing = r.closing || r.mustClose()
	if r.closing {
		r.header.Set(field.Connection, "close")
	}
	if _, there := r.header["Content-Type"]; !there {
		r.header["Content-Type"] = nil // or net/http would guess one
	}
	if status == http.StatusNotModified {
		respell(r.header, field.ContentLength, "Content-Type")
	}
	r.as.respellAnswer(r.header)
	r.status = status
	r.begin(status)
	r.header = r.to.Header()
	if r.header[field.ContentLength] == nil {
		// Without this net/http would add a length to an empty body, or not, by whether
		// a timer of ReverseProxy's was faster than the end of that body.
		_ = http.NewResponseController(r.to).Flush() // it fails only if the connection is gone
	}
}

// respell has fields pass that net/http deletes by the only spelling that it knows: from a
// 304 those that say what a 200 would have (RFC 9110 15.4.5), and that frame nothing.
func respell(header http.Header, names ...string) {
	for _, name := range names {
		if values := header[name]; values != nil {
			delete(header, name)
			header[strings.ToLower(name)] = values
		}
	}
}

// begin sends the head that has been gathered.
func (r *reply) begin(status int) {
	maps.Copy(r.to.Header(), r.header)
	r.to.WriteHeader(status)
}

// interim passes an interim answer on, unless the client knows none (RFC 9110
// 15.2). For 100 see goAhead.
func (r *reply) interim(status int) {
	if r.http10 || status == http.StatusContinue || !r.progress.goesOn() {
		return
	}
	upgrade.StripHop(r.header)
	r.as.respell(r.header)
	r.begin(status)
	clear(r.to.Header())
}

// goAhead asks a client that said Expect for the request's body. It is called when the
// upstream has asked for the body, or has let the time for that pass. By then the
// upstream may have answered. It returns false if the request has been ended: a 100 would
// fail then, and net/http writes nothing more after a write that failed.
func (r *reply) goAhead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status != 0 {
		return true
	}
	if !r.progress.goesOn() {
		return false
	}
	r.to.WriteHeader(http.StatusContinue)
	return true
}

// mustClose reports whether the connection has to end with the answer. If the answer
// overtakes the request's body, net/http would read the rest of the body first, to find
// the next request. The end of an HTTP/1.0 body cannot be relied upon: net/http passes
// over a Transfer-Encoding there, which it should not forgive (RFC 9112 6.1).
func (r *reply) mustClose() bool {
	return r.http10 || r.body != nil && !r.body.ended.Load()
}

// spells notes how the upstream spells the fields of its answer.
func (r *reply) spells(fields field.Fields) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.as == nil {
		r.as = spelling{}
	}
	r.as.noteAll(fields)
}

// refuse answers in the proxy's own name.
func (r *reply) refuse(refusal *upgrade.Refusal) {
	r.mu.Lock()
	r.as = nil // the words are not the upstream's
	r.mu.Unlock()
	for _, f := range refusal.Header {
		r.header.Add(f.Name, f.Value)
	}
	r.header.Set("Content-Type", "text/plain; charset=utf-8")
	r.header.Set(field.ContentLength, strconv.Itoa(len(refusal.Reason)+len("\n")))
	r.allow()
	r.WriteHeader(refusal.Status)
	_, _ = io.WriteString(r, refusal.Reason+"\n") // a client that is gone need not be told
}

// stalledBy says who let the request stall.
func (r *reply) stalledBy() fault {
	if r.progress == nil {
		return nobody
	}
	return r.progress.stalledBy()
}
