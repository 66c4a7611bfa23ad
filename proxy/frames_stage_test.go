package proxy

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/wire"
	"holdfast/metrics"
)

// Data passes verbatim, mask keys included, wherever the kernel cuts the stream.
func TestConversationCutEverywhere(t *testing.T) {
	frames := []wire.Frame{
		wire.Text("hi"), wire.Binary(""), wire.Text("frag").More(), wire.Ping("p"), wire.Continuation("ment"),
		wire.Binary(strings.Repeat("m", 300)), wire.Pong("unasked"), wire.Text("bye"),
	}
	for _, side := range sides {
		t.Run("by the "+side.String(), func(t *testing.T) {
			st := newStage(t, nil)
			from, to := st.way(side)
			stream := wire.Encode(from.masks(), frames...)
			for at := range len(stream) + 1 {
				from.sendsBytes(stream[:at])
				from.sendsBytes(stream[at:])
				to.wantsBytes(fmt.Sprintf("cut at %d", at), wire.Data(stream))
				from.wants(fmt.Sprintf("cut at %d", at), wire.Pong("p"))
			}
			for _, b := range stream {
				from.sendsBytes([]byte{b})
			}
			to.wantsBytes("byte by byte", wire.Data(stream))
			from.wants("byte by byte", wire.Pong("p"))
		})
	}
}

func TestPayloadLengths(t *testing.T) {
	for _, side := range sides {
		st := newStage(t, nil)
		from, to := st.way(side)
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 200000} {
			stream := wire.Encode(from.masks(), wire.Binary(strings.Repeat("x", n)), wire.Text("and on"))
			from.sendsBytes(stream)
			to.wantsBytes(fmt.Sprintf("%d bytes of the %v", n, side), stream)
		}
	}
}

// A frame's length is a counter and never the size of an allocation.
func TestFrameOfAnyLengthIsStreamed(t *testing.T) {
	for _, side := range sides {
		st := newStage(t, nil)
		from, to := st.way(side)
		stream := append(lengthForm(127, 0x40, 0, 0, 0, 0, 0, 0, 0)(from.masks()), strings.Repeat("x", 300<<10)...)
		from.sendsBytes(stream)
		to.wantsBytes("a part of 2^62 bytes", stream)
		from.hangsUp()
		to.wantsEnd("the unfinished frame ends with the connection")
		to.close()
		st.dropped(side, metrics.EOF)
	}
}

func TestCompressedFramesPass(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(true)
	frames := []wire.Frame{
		wire.Text("z").Reserved(4),
		wire.Text("not compressed"),
		wire.Binary("zz").Reserved(4).More(), wire.Ping("p"), wire.Continuation("zzz"),
	}
	for _, way := range [][2]*peer{{c, u}, {u, c}} {
		way[0].sends(frames...)
		way[1].wants("compression is end to end", wire.DataFrames(frames)...)
		way[0].wants("compression is end to end", wire.Pong("p"))
	}
}

func TestFramesAreCounted(t *testing.T) {
	st := newStage(t, nil)
	c, u := st.session(false)
	c.sends(wire.Text("1"), wire.Text("2").More(), wire.Ping("p"), wire.Continuation("3"), wire.Binary("45"), wire.Pong("nobody asked"))
	c.wants("the answer", wire.Pong("p"))
	u.sends(wire.Binary("6"), wire.Close(3999, ""))
	c.sends(wire.EmptyClose())
	u.wants("the data, and the answer as it is", wire.Text("1"), wire.Text("2").More(), wire.Continuation("3"), wire.Binary("45"), wire.EmptyClose())
	st.counts(map[string]float64{
		"frames_total{text,client}":                  2,
		"frames_total{continuation,client}":          1,
		"frames_total{binary,client}":                1,
		"frames_total{ping,client}":                  1,
		"frames_total{pong,client}":                  1,
		"frames_total{close,client}":                 1,
		"frames_total{text,upstream}":                0,
		"frames_total{binary,upstream}":              1,
		"frames_total{close,upstream}":               1,
		"pings_answered_total{client}":               1,
		"pings_answered_total{upstream}":             0,
		"pings_sent_total{client}":                   0,
		"pongs_received_total{client}":               0,
		"close_frames_received_total{none,client}":   1,
		"close_frames_received_total{3xxx,upstream}": 1,
	})
}
