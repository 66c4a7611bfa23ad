package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"holdfast/internal/status"
)

// A stream of server-sent events tells a page what changes. It is written to once a second,
// and has no queue of its own: a client that does not take what is written in time ends the
// stream.
const (
	streamEvery  = time.Second
	endsAtOnce   = 20               // ends that are told one by one in that time
	commentEvery = 15 * time.Second // how often there is a line that says nothing
	eventTimeout = 5 * time.Second  // in which the kernel and then the client must take what is written
	retryAfter   = 5 * time.Second  // a client without a place should ask again then

	// streamShare is the part of the connections that streams may have: one in four.
	streamShare = 4
)

// serveEvents answers with a stream that ends when the client leaves, when it is too slow,
// when the listener closes, or when a new connection needs its place.
func (cfg Config) serveEvents(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case cfg.streams <- struct{}{}:
		defer func() { <-cfg.streams }()
	default:
		w.Header().Set("Retry-After", fmt.Sprint(retryAfter.Seconds()))
		http.Error(w, "as many streams are open as there may be; ask later, or ask for /api/status", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	s := stream{cfg: cfg, r: r, to: w, control: http.NewResponseController(w), next: cfg.Book.Next()}
	s.run()
}

// A stream is one client's.
type stream struct {
	cfg     Config
	r       *http.Request
	to      io.Writer
	control *http.ResponseController
	next    uint64    // the number of the next end to tell
	behind  time.Time // since when the client takes less than is written; zero if it takes all
	buf     bytes.Buffer
}

// run writes until the stream ends. The read deadline that the server has set would end it
// soon: net/http reads on while a request is answered, to see that the client leaves.
func (s *stream) run() {
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return // the connection is gone
	}
	ticks := time.NewTicker(streamEvery)
	defer ticks.Stop()
	fmt.Fprintf(&s.buf, "retry: %d\n\n", retryAfter.Milliseconds())
	for n := 0; ; n++ {
		if n%int(commentEvery/streamEvery) == 0 {
			s.buf.WriteString(": the stream goes on\n\n")
		}
		s.collect()
		if err := s.write(); err != nil {
			return // the client has left, or is too slow
		}
		select {
		case <-s.r.Context().Done():
			return
		case <-ticks.C:
		}
		if s.isSlow(time.Now()) {
			return
		}
	}
}

// isSlow reports whether the client has been behind for eventTimeout. A deadline of a write
// does not show that: the kernel has room for many minutes of events.
func (s *stream) isSlow(now time.Time) bool {
	c, ok := s.r.Context().Value(connKey{}).(interface{ unsent() int })
	switch {
	case !ok || c.unsent() == 0:
		s.behind = time.Time{}
	case s.behind.IsZero():
		s.behind = now
	}
	return !s.behind.IsZero() && now.Sub(s.behind) >= eventTimeout
}

// collect adds the events that are due.
func (s *stream) collect() {
	is := s.cfg.status(s.r)
	s.event("status", is)
	if !is.May.List {
		return
	}
	ends, skipped, next := s.cfg.Book.EndsSince(s.next, endsAtOnce)
	s.next = next
	for _, e := range ends {
		s.event("end", e)
	}
	if skipped > 0 {
		s.event("skipped", status.Skipped{Ends: skipped})
	}
}

// event adds an event. JSON has no line breaks outside of its strings, where it escapes
// them.
func (s *stream) event(name string, what any) {
	data, err := json.Marshal(what)
	if err != nil {
		return // the types of package status can be written as JSON
	}
	fmt.Fprintf(&s.buf, "event: %s\ndata: %s\n\n", name, data)
}

// write sends what was added. Before and after, the connection may be replaced by another.
func (s *stream) write() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil {
		return err
	}
	givesWay(s.r)
	defer s.buf.Reset()
	if _, err := s.to.Write(s.buf.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}
