package proxy

import (
	"io"
	"net/http"

	"github.com/gobwas/ws"

	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/frame"
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

// UpstreamFrames are the frames that an upstream sends in a session without extensions,
// read by the rules for sessions. They are for a caller that tries an upstream out.
type UpstreamFrames struct {
	from    io.Reader
	limits  frame.Limits
	scanner frame.Scanner
	counts  frame.Counts
	unread  []byte // read of from, and not decided on yet
	chunk   []byte
}

// ReadUpstreamFrames returns the frames that come from a reader. A data frame's payload may
// have maxFrameSize bytes, and that of a message maxMessageSize; 0 means any number.
func ReadUpstreamFrames(from io.Reader, maxFrameSize, maxMessageSize int64) *UpstreamFrames {
	return &UpstreamFrames{
		from:    from,
		limits:  frame.LimitsOf(maxFrameSize, maxMessageSize),
		scanner: frame.NewScanner(false, false),
		chunk:   make([]byte, 4<<10),
	}
}

// An UpstreamControl is a control frame of an upstream's.
type UpstreamControl struct {
	Op      ws.OpCode
	Payload []byte
	Code    ws.StatusCode // of a Close; 0 if it has none
}

// An UpstreamViolation is what an upstream has done that the proxy ends a session for.
type UpstreamViolation struct {
	Detail        string
	FrameTooBig   bool // the limit on frames is broken, and not a rule of the protocol
	MessageTooBig bool // that on messages is
}

func (v *UpstreamViolation) Error() string { return v.Detail }

// Next reads until the next control frame. Data frames are checked and skipped. The error
// is an *UpstreamViolation, or the reader's. After a Close or an error Next must not be
// called again.
func (f *UpstreamFrames) Next() (*UpstreamControl, error) {
	for {
		found := f.scanner.Scan(f.unread, &f.limits, frame.NoGap, &f.counts)
		f.unread = f.unread[found.Pass:]
		if found.Stop == frame.Broken {
			v := found.Violation
			return nil, &UpstreamViolation{v.Detail(f.unread), v == frame.TooBig, v == frame.MessageTooBig}
		}
		if found.Stop == frame.Control {
			return f.cut(found.Size), nil
		}
		n, err := f.from.Read(f.chunk)
		if n == 0 && err != nil {
			return nil, err
		}
		f.unread = append(f.unread, f.chunk[:n]...)
	}
}

// cut takes a control frame of so many bytes off what is unread.
func (f *UpstreamFrames) cut(size int) *UpstreamControl {
	var c frame.ControlFrame
	frame.ParseControl(f.unread, &c)
	f.unread = f.unread[size:]
	control := &UpstreamControl{Op: c.Op, Payload: c.Payload()}
	if c.Op == ws.OpClose {
		control.Code, _ = c.CloseCode()
	}
	return control
}
