// Package wire is for tests: the frames and the heads of opening handshakes as the
// peers of a proxy write and read them. It checks nothing that a test may want to be
// wrong, and shares no code with the proxy's own parsers.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/gobwas/ws"
)

// A Frame is one frame of RFC 6455 5.2, without its mask.
type Frame struct {
	Op      ws.OpCode
	Fin     bool
	RSV     byte // 4 is RSV1, 2 is RSV2, 1 is RSV3
	Payload string
}

// Text is a whole text message.
func Text(s string) Frame { return Frame{Op: ws.OpText, Fin: true, Payload: s} }

// Binary is a whole binary message.
func Binary(s string) Frame { return Frame{Op: ws.OpBinary, Fin: true, Payload: s} }

// Continuation is the last fragment of a message. With More it is one in the middle.
func Continuation(s string) Frame { return Frame{Op: ws.OpContinuation, Fin: true, Payload: s} }

// Ping is a ping.
func Ping(s string) Frame { return Frame{Op: ws.OpPing, Fin: true, Payload: s} }

// Pong is a pong.
func Pong(s string) Frame { return Frame{Op: ws.OpPong, Fin: true, Payload: s} }

// Close is a Close with any code, a forbidden one too.
func Close(code int, reason string) Frame {
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	return Frame{Op: ws.OpClose, Fin: true, Payload: string(payload) + reason}
}

// EmptyClose is a Close without a code.
func EmptyClose() Frame { return Frame{Op: ws.OpClose, Fin: true} }

// More returns the frame without FIN: more fragments follow.
func (f Frame) More() Frame { f.Fin = false; return f }

// Reserved returns the frame with these RSV bits.
func (f Frame) Reserved(bits byte) Frame { f.RSV = bits; return f }

// Code returns a Close's code, or 0.
func (f Frame) Code() int {
	if f.Op != ws.OpClose || len(f.Payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16([]byte(f.Payload)))
}

// Reason returns a Close's reason.
func (f Frame) Reason() string {
	if f.Code() == 0 {
		return ""
	}
	return f.Payload[2:]
}

// String says what a failing test has to say of a frame.
func (f Frame) String() string {
	name := map[ws.OpCode]string{
		ws.OpContinuation: "continuation", ws.OpText: "text", ws.OpBinary: "binary",
		ws.OpClose: "Close", ws.OpPing: "ping", ws.OpPong: "pong",
	}[f.Op]
	if name == "" {
		name = fmt.Sprintf("opcode %#x", byte(f.Op))
	}
	if f.Code() != 0 {
		return fmt.Sprintf("Close %d %q", f.Code(), f.Reason())
	}
	if !f.Fin {
		name += " without FIN"
	}
	if f.RSV != 0 {
		name += fmt.Sprintf(" with RSV %03b", f.RSV)
	}
	return fmt.Sprintf("%s %.40q (%d bytes)", name, f.Payload, len(f.Payload))
}

// Encode returns the wire form of the frames. Clients mask theirs (RFC 6455 5.1),
// here with keys that follow from the payloads: most differ, and a test that runs
// again sends the same bytes.
func Encode(masked bool, frames ...Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		h := ws.Header{Fin: f.Fin, Rsv: f.RSV, OpCode: f.Op, Masked: masked, Length: int64(len(f.Payload))}
		payload := []byte(f.Payload)
		if masked {
			binary.BigEndian.PutUint32(h.Mask[:], crc32.ChecksumIEEE(payload)+0x01020304*uint32(f.Op))
			ws.Cipher(payload, h.Mask, 0)
		}
		b.Grow(ws.MaxHeaderSize + len(payload))
		if err := ws.WriteHeader(&b, h); err != nil {
			panic(err) // a length that no slice has
		}
		b.Write(payload)
	}
	return b.Bytes()
}

// ErrMask is for a frame whose mask bit is not what its direction demands.
var ErrMask = errors.New("a frame with the wrong mask bit")

// Read reads one frame and unmasks it. It returns io.EOF at the end of the input,
// io.ErrUnexpectedEOF within a frame, and ErrMask if the frame is not masked as it
// must be.
func Read(from io.Reader, masked bool) (Frame, error) {
	var first [1]byte
	if _, err := io.ReadFull(from, first[:]); err != nil {
		return Frame{}, err
	}
	h, err := ws.ReadHeader(io.MultiReader(bytes.NewReader(first[:]), from))
	if err == io.EOF {
		return Frame{}, io.ErrUnexpectedEOF
	} else if err != nil {
		return Frame{}, err
	}
	if h.Masked != masked {
		return Frame{}, fmt.Errorf("%w: %+v", ErrMask, h)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(from, payload); err == io.EOF {
		return Frame{}, io.ErrUnexpectedEOF
	} else if err != nil {
		return Frame{}, err
	}
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	return Frame{Op: h.OpCode, Fin: h.Fin, RSV: h.Rsv, Payload: string(payload)}, nil
}

// Data returns the part of a stream that is data frames, mask keys as they are.
func Data(stream []byte) (kept []byte) {
	for len(stream) > 0 {
		in := bytes.NewReader(stream)
		h, err := ws.ReadHeader(in)
		if err != nil {
			panic(err) // the stream is the test's own, and whole
		}
		size := len(stream) - in.Len() + int(h.Length)
		if !h.OpCode.IsControl() {
			kept = append(kept, stream[:size]...)
		}
		stream = stream[size:]
	}
	return kept
}
