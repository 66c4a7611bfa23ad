package demo

import (
	"errors"
	"fmt"
	"io"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// maxMessage bounds what a visitor's browser can make the demo hold.
const maxMessage = 64 << 10

// converse reads messages until the connection ends, answers pings and Closes
// as RFC 6455 demands, and never pings. After a Close, the error says its code.
func converse(r io.Reader, w io.Writer, state ws.State, each func(ws.OpCode, []byte) error) error {
	control := wsutil.ControlFrameHandler(w, state)
	messages := wsutil.Reader{
		Source:         r,
		State:          state,
		CheckUTF8:      true,
		MaxMessageSize: maxMessage,
		OnIntermediate: control,
	}
	for {
		header, err := messages.NextFrame()
		if err != nil {
			return err
		}
		if header.OpCode.IsControl() {
			if err := control(header, &messages); err != nil {
				return err
			}
			continue
		}
		payload, err := io.ReadAll(&messages)
		if err != nil {
			return err
		}
		if err := each(header.OpCode, payload); err != nil {
			return err
		}
	}
}

// A farewell is how a conversation ended, as one of its sides learnt it.
type farewell struct {
	code   ws.StatusCode // 0 if it ended without a Close
	reason string
}

func farewellOf(err error) farewell {
	var closed wsutil.ClosedError
	if errors.As(err, &closed) {
		return farewell{closed.Code, closed.Reason}
	}
	return farewell{}
}

// String escapes the reason: a peer chose it, and it goes to a terminal.
func (f farewell) String() string {
	switch {
	case f.code == 0:
		return "no Close"
	case f.reason == "":
		return fmt.Sprint(f.code)
	default:
		return fmt.Sprintf("%d %+q", f.code, f.reason)
	}
}
