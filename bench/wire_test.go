package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gobwas/ws"
)

// recorder is a frameSink that puts payloads together.
type recorder struct {
	headers []frameHeader
	payload []byte
	ended   int
}

func (r *recorder) frame(h *frameHeader, part []byte, offset uint64) error {
	if offset == 0 {
		r.headers = append(r.headers, *h)
	}
	if h.masked {
		part = bytes.Clone(part)
		ws.Cipher(part, h.mask, int(offset))
	}
	r.payload = append(r.payload, part...)
	if ends(h, part, offset) {
		r.ended++
	}
	return nil
}

func TestFrameReaderAtEverySplit(t *testing.T) {
	var stream, want []byte
	sizes := []int{0, 1, 125, 126, 200}
	for _, size := range sizes {
		stream = appendFrame(stream, opBinary, nil, pattern(size))
		stream = appendFrame(stream, opText, &loadMask, pattern(size))
		want = append(append(want, pattern(size)...), pattern(size)...)
	}
	for split := range len(stream) {
		var reader frameReader
		var got recorder
		if err := errors.Join(reader.feed(stream[:split], &got), reader.feed(stream[split:], &got)); err != nil {
			t.Fatalf("split at %d: %v", split, err)
		}
		if got.ended != 2*len(sizes) || !bytes.Equal(got.payload, want) {
			t.Fatalf("split at %d: %d frames and %d bytes, want %d and %d", split, got.ended, len(got.payload), 2*len(sizes), len(want))
		}
	}
}

func TestAppendFrameIsReadByOthers(t *testing.T) {
	for _, size := range []int{0, 125, 126, 65535, 65536} {
		for _, mask := range []*[4]byte{nil, &loadMask} {
			//lint:ignore SA1019 the input is the test's own, and bounded
			frame, err := ws.ReadFrame(bytes.NewReader(appendFrame(nil, opBinary, mask, pattern(size))))
			if err != nil {
				t.Fatal(err)
			}
			if mask != nil {
				frame = ws.UnmaskFrame(frame)
			}
			if !frame.Header.Fin || frame.Header.OpCode != ws.OpBinary || !bytes.Equal(frame.Payload, pattern(size)) {
				t.Errorf("%d bytes, mask %v: read as %+v", size, mask, frame.Header)
			}
		}
	}
}

func TestFrameReaderRefusesFragmentsAndReservedBits(t *testing.T) {
	for _, first := range []byte{opText, finBit | 0x40 | opText} {
		var reader frameReader
		if err := reader.feed([]byte{first, 0}, &recorder{}); !errors.Is(err, errFrame) {
			t.Errorf("first byte %#x: %v, want errFrame", first, err)
		}
	}
}

func TestHandshake(t *testing.T) {
	request := upgradeRequest("127.0.0.1:80", "/source/64")
	head, rest, ok := cutHead(append(request, "early"...))
	if !ok || string(rest) != "early" {
		t.Fatalf("head %q, rest %q", head, rest)
	}
	if path := requestPath(head); path != "/source/64" {
		t.Errorf("path is %q", path)
	}
	if err := checkUpgraded(upgradeResponse(headerValue(head, "sec-websocket-key"))); err != nil {
		t.Errorf("our own answer: %v", err)
	}
	for _, answer := range []string{
		"HTTP/1.1 502 Bad Gateway\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: nonsense\r\n\r\n",
	} {
		if err := checkUpgraded([]byte(answer)); err == nil {
			t.Errorf("%q passes for an upgrade", answer)
		}
	}
}
