package demo

import (
	"errors"
	"fmt"
	"io"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// maxMessage limits the memory that a message of a visitor's browser can take, in bytes.
const maxMessage = 64 << 10

// converse reads messages and calls each for them until the connection ends. It answers
// pings and Closes as RFC 6455 demands, and never pings. After a Close, the error contains
// its code and reason.
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

// A farewell is the end of a conversation as one side saw it.
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

// String escapes the reason, because a peer chose it and it is printed on a terminal.
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
