package wire

import (
	"strings"

	"github.com/gobwas/ws"
)

// Conversation has data frames of every kind with control frames between.
func Conversation() []Frame {
	return []Frame{
		Text("hello"),
		Text(""),
		Ping("between messages"),
		Text("frag").More(), Continuation("").More(), Ping(""), Continuation("ment"),
		Pong("nobody asked"),
		Binary(strings.Repeat("b", 125)),
		Binary(strings.Repeat("c", 126)).More(), Ping(strings.Repeat("p", 125)), Continuation(strings.Repeat("d", 127)),
	}
}

// DataFrames returns those of the frames that are not control frames.
func DataFrames(frames []Frame) (kept []Frame) {
	for _, f := range frames {
		if !f.Op.IsControl() {
			kept = append(kept, f)
		}
	}
	return kept
}

// Answers returns the pongs that answer the pings among the frames.
func Answers(frames []Frame) (pongs []Frame) {
	for _, f := range frames {
		if f.Op == ws.OpPing {
			pongs = append(pongs, Pong(f.Payload))
		}
	}
	return pongs
}
