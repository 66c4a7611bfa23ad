package web

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/upgrade"
)

// A spelling says how the sender of a head spells the names of its fields. Names have no
// case, but old peers compare them as they are, and net/http respells all that it reads:
// ETag becomes Etag. What it writes keeps the spelling. The keys are net/http's names.
type spelling map[string]string

// note records the spelling of a name. The first one of a head holds for all its lines of
// that name. Fields that net/http looks for, to frame a message, keep its spelling.
func (s spelling) note(name string) {
	key := http.CanonicalHeaderKey(name)
	if _, known := s[key]; known || field.Of(key).Has(field.Hop) || key == field.Expect || key == field.Host {
		return
	}
	s[key] = name
}

func (s spelling) noteAll(fields field.Fields) {
	for _, f := range fields {
		s.note(f.Name)
	}
}

// of returns how the sender spells a name.
func (s spelling) of(key string) string {
	if name, known := s[key]; known {
		return name
	}
	return key
}

// respell gives the fields of a header their sender's names.
func (s spelling) respell(header http.Header) {
	for key, name := range s {
		if values, there := header[key]; there && name != key {
			delete(header, key)
			header[name] = values
		}
	}
}

// Respell gives the fields of a header that net/http has read the names that its sender
// gave them. as are the fields of the head as they came.
func Respell(header http.Header, as field.Fields) {
	s := spelling{}
	s.noteAll(as)
	s.respell(header)
}

// respellAnswer is respell for net/http's server, which adds a Date and guesses a
// Content-Type if it finds none under its own names. With an empty list it does not.
func (s spelling) respellAnswer(header http.Header) {
	s.respell(header)
	for _, key := range []string{"Date", "Content-Type"} {
		if s.of(key) != key && header[s.of(key)] != nil {
			header[key] = nil
		}
	}
}

// respellRequest is respell for net/http's transport, which adds a User-Agent if it finds
// none under its own name. It sends an empty one to nobody.
func (s spelling) respellRequest(header http.Header) {
	s.respell(header)
	if s.of("User-Agent") != "User-Agent" && header[s.of("User-Agent")] != nil {
		header["User-Agent"] = []string{""}
	}
}

// A recorder keeps what is read of a connection until the head of the next request is
// whole. It knows where a head begins: at the connection's beginning, where the connection
// was idle, behind a request without a body, and with a byte that comes ahead of the answer.
type recorder struct {
	limit int // of what is kept, in bytes

	mu sync.Mutex // net/http also reads while a handler runs

	// Guarded by mu.
	on    bool
	bytes []byte
}

func (k *recorder) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.on = true
}

// hasBegun reports whether a part of the next head has come. Of a head behind a body it is
// not known: net/http buffers it.
func (k *recorder) hasBegun() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.bytes) > 0
}

// stop is called under mu.
func (k *recorder) stop() { k.on, k.bytes = false, nil }

func (k *recorder) add(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.on:
	case len(k.bytes)+len(b) > k.limit:
		k.stop()
	default:
		k.bytes = append(k.bytes, b...)
	}
}

// take returns the spelling of a request that net/http has read. It is empty if what was
// recorded is not the head of that request.
func (k *recorder) take(r *http.Request) spelling {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := spelling{}
	head := k.bytes
	end := upgrade.HeadEnd(head, 0)
	if end < 0 || !bytes.HasPrefix(head, []byte(r.Method+" "+r.RequestURI+" "+r.Proto)) {
		k.stop()
		return s
	}
	for line := range strings.Lines(string(head[:end])) {
		if name, _, isField := strings.Cut(line, ":"); isField && field.IsToken(name) {
			s.note(name)
		}
	}
	if r.Body != http.NoBody {
		k.stop()
		return s
	}
	k.bytes = slices.Clone(head[end:])
	if len(k.bytes) == 0 {
		k.bytes = nil // or an idle connection would hold the memory
	}
	return s
}
