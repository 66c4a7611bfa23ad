package proxy

import (
	"io"
	"net/http"
	"slices"

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
	f := &UpstreamFrames{
		from:    from,
		limits:  frame.LimitsOf(maxFrameSize, maxMessageSize),
		scanner: frame.NewScanner(false, false),
		chunk:   make([]byte, 4<<10),
	}
	f.scanner.Watch()
	return f
}

// An UpstreamFrame is a control frame of an upstream's, or a whole text message.
type UpstreamFrame struct {
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

// violated returns the error for a broken rule. b begins with the frame that breaks it.
func violated(v *frame.Violation, b []byte) error {
	return &UpstreamViolation{v.Detail(b), v == frame.TooBig, v == frame.MessageTooBig}
}

// Next reads until the next control frame, or the end of a text message that a proxy would
// compare with App.Pong. Other messages are checked and skipped. The error is an
// *UpstreamViolation, or the reader's. After a Close or an *UpstreamViolation Next must not be
// called again.
func (f *UpstreamFrames) Next() (*UpstreamFrame, error) {
	for {
		found := f.scanner.Scan(f.unread, &f.limits, frame.NoGap, &f.counts)
		f.unread = f.unread[found.Pass:]
		switch found.Stop {
		case frame.Broken:
			return nil, violated(found.Violation, f.unread)
		case frame.Control:
			return f.cut(0, found.Size), nil
		case frame.Message:
			if got, isPart, err := f.gather(); got != nil || err != nil {
				return got, err
			} else if !isPart {
				continue
			}
		case frame.More, frame.Boundary:
		}
		n, err := f.from.Read(f.chunk)
		if n == 0 && err != nil {
			return nil, err
		}
		f.unread = append(f.unread, f.chunk[:n]...)
	}
}

// gather returns the text message that is unread, or the control frame between its
// fragments. isPart means that more of it must be read. A message that is too large to be
// looked at is to be skipped.
func (f *UpstreamFrames) gather() (got *UpstreamFrame, isPart bool, err error) {
	switch text := f.scanner.Gather(f.unread, &f.limits, nil); text.Found {
	case frame.Whole:
		f.scanner.Skip()
		return &UpstreamFrame{Op: ws.OpText, Payload: text.Payload}, false, nil
	case frame.Between:
		return f.cut(text.At, text.Size), false, nil
	case frame.Wrong:
		return nil, false, violated(text.Violation, f.unread[text.At:])
	case frame.Large:
		f.scanner.Skip()
		return nil, false, nil
	default:
		return nil, true, nil
	}
}

// cut takes the control frame of size bytes at f.unread[at:] out of what is unread.
func (f *UpstreamFrames) cut(at, size int) *UpstreamFrame {
	var c frame.ControlFrame
	frame.ParseControl(f.unread[at:], &c)
	f.unread = slices.Delete(f.unread, at, at+size)
	control := &UpstreamFrame{Op: c.Op, Payload: c.Payload()}
	if c.Op == ws.OpClose {
		control.Code, _ = c.CloseCode()
	}
	return control
}
