package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes, RFC 6455 section 5.2.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

const (
	maxHeaderSize = 14 // 2 bytes, 8 of extended length, 4 of mask key
	finBit        = 0x80
	rsvBits       = 0x70
	maskBit       = 0x80
)

// loadMask is the mask key of every frame that the load sends. It is fixed, so that a
// message is masked once and sent many times.
var loadMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// A frameHeader is what precedes a payload, RFC 6455 section 5.2.
type frameHeader struct {
	opcode byte
	masked bool
	mask   [4]byte
	length uint64
}

// isControl reports whether the frame is a control frame.
func (h *frameHeader) isControl() bool { return h.opcode&0x8 != 0 }

// appendFrame appends one final frame to dst. If mask is nil the payload is not masked, as
// a server must send it (section 5.1).
func appendFrame(dst []byte, opcode byte, mask *[4]byte, payload []byte) []byte {
	var masked byte
	if mask != nil {
		masked = maskBit
	}
	dst = append(dst, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = append(dst, masked|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, masked|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	if mask == nil {
		return append(dst, payload...)
	}
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// A frameSink takes the payloads of frames as they arrive.
type frameSink interface {
	// frame gets the part of a payload that starts at offset. It must not keep the part.
	// The frame is complete when the part ends at h.length.
	frame(h *frameHeader, part []byte, offset uint64) error
}

// A frameReader cuts a byte stream into frames. It never holds a payload.
type frameReader struct {
	header    frameHeader
	done      uint64 // payload bytes passed to the sink
	inPayload bool
	head      [maxHeaderSize]byte
	have      uint8 // bytes of head that have arrived
}

var errFrame = errors.New("a frame is fragmented or has reserved bits set, and no such frame was sent")

// feed passes the payload bytes in p to the sink.
func (r *frameReader) feed(p []byte, to frameSink) error {
	for len(p) > 0 {
		if !r.inPayload {
			n, err := r.readHeader(p)
			if err != nil {
				return err
			}
			p = p[n:]
			if !r.inPayload || r.header.length > 0 {
				continue
			}
		}
		part := p[:min(uint64(len(p)), r.header.length-r.done)]
		p = p[len(part):]
		offset := r.done
		r.done += uint64(len(part))
		r.inPayload = r.done < r.header.length
		if err := to.frame(&r.header, part, offset); err != nil {
			return err
		}
	}
	return nil
}

// readHeader takes header bytes from p and returns how many. The payload begins when the
// header is complete.
func (r *frameReader) readHeader(p []byte) (int, error) {
	for n, b := range p {
		r.head[r.have] = b
		r.have++
		if r.have < 2 || int(r.have) < headerSize(r.head[1]) {
			continue
		}
		if r.head[0]&finBit == 0 || r.head[0]&rsvBits != 0 {
			return 0, errFrame
		}
		r.header = parseHeader(r.head[:r.have])
		r.have, r.done, r.inPayload = 0, 0, true
		return n + 1, nil
	}
	return len(p), nil
}

// headerSize returns a header's size, given its second byte.
func headerSize(second byte) int {
	size := 2
	switch second &^ maskBit {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if second&maskBit != 0 {
		size += 4
	}
	return size
}

// parseHeader reads a complete header.
func parseHeader(b []byte) frameHeader {
	h := frameHeader{opcode: b[0] & 0xF, masked: b[1]&maskBit != 0}
	switch n := b[1] &^ maskBit; n {
	case 126:
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.length = binary.BigEndian.Uint64(b[2:])
	default:
		h.length = uint64(n)
	}
	if h.masked {
		copy(h.mask[:], b[len(b)-4:])
	}
	return h
}

// sampleKey and sampleAccept are the nonce of RFC 6455 section 1.3 and the answer to it.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgradeRequest is the request that opens every session of the load.
func upgradeRequest(host, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host, sampleKey)
}

// checkUpgraded returns an error if head is not the right answer to an upgradeRequest.
func checkUpgraded(head []byte) error {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		status, _, _ := bytes.Cut(head, []byte("\r\n"))
		return fmt.Errorf("upgrade was answered with %q", status)
	}
	if accept := headerValue(head, "Sec-WebSocket-Accept"); accept != sampleAccept {
		return fmt.Errorf("upgrade was answered with Sec-WebSocket-Accept %q", accept)
	}
	return nil
}

// upgradeResponse answers an upgrade request, RFC 6455 section 4.2.2.
func upgradeResponse(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
}

// requestPath returns the path in a request line.
func requestPath(head []byte) string {
	_, rest, _ := bytes.Cut(head, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	return string(path)
}

// cutHead cuts b after the empty line that ends an HTTP head. ok is false if there is none.
func cutHead(b []byte) (head, rest []byte, ok bool) {
	i := bytes.Index(b, []byte("\r\n\r\n"))
	if i < 0 {
		return nil, b, false
	}
	return b[:i+4], b[i+4:], true
}

// headerValue returns the value of a header. Upper and lower case in its name are equal.
func headerValue(head []byte, name string) string {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(key, []byte(name)) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}
