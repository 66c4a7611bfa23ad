package frame

import (
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Violation is a rule of the protocol that a peer has broken. There is one value for each
// rule, so violations are compared by address.
type Violation struct {
	Code   ws.StatusCode // of the Close that the peer is sent
	Reason string        // of that Close
}

// The violations of Limits, and not of the protocol.
var (
	TooBig        = &Violation{ws.StatusMessageTooBig, "frame too big"}
	MessageTooBig = &Violation{ws.StatusMessageTooBig, "message too big"}
)

// Violations of RFC 6455 and RFC 7692.
var (
	reservedOpcode     = protocolError("reserved opcode")
	reservedBits       = protocolError("RSV2 or RSV3 set")
	rsv1NotNegotiated  = protocolError("RSV1 set without permessage-deflate")
	rsv1Misplaced      = protocolError("RSV1 set on a frame that does not begin a message")
	fragmentedControl  = protocolError("fragmented control frame")
	nothingToContinue  = protocolError("continuation frame without a message to continue")
	interleavedMessage = protocolError("new message inside a fragmented message")
	clientNotMasked    = protocolError("frame from client not masked")
	serverMasked       = protocolError("frame from server masked")
	longControl        = protocolError("control frame longer than 125 bytes")
	lengthTopBit       = protocolError("frame length with top bit set")
	longLength         = protocolError("frame length not in its shortest form")
	shortClose         = protocolError("close payload of one byte")
	closeCode          = protocolError("invalid close code")
	closeReason        = &Violation{ws.StatusInvalidFramePayloadData, "close reason not UTF-8"}
)

// OfLimit reports whether v is the violation of a limit.
func (v *Violation) OfLimit() bool { return v == TooBig || v == MessageTooBig }

// Detail says for a log how v was broken: Reason, and the code of a Close that has a
// forbidden one. b begins with the frame that broke the rule, as Scan was given it.
func (v *Violation) Detail(b []byte) string {
	if v != closeCode {
		return v.Reason
	}
	var c ControlFrame
	ParseControl(b, &c)
	code, _ := c.CloseCode() // checkClose has found it
	return fmt.Sprintf("%s %d", v.Reason, code)
}

func protocolError(reason string) *Violation {
	return &Violation{ws.StatusProtocolError, reason}
}

// checkClose checks the payload of a whole control frame if the frame is a Close (RFC
// 6455 5.5.1). parse has checked that the payload is empty or has a code.
func checkClose(b []byte) *Violation {
	if b[0]&opcode != opClose {
		return nil
	}
	var c ControlFrame
	ParseControl(b, &c)
	code, ok := c.CloseCode()
	switch {
	case !ok:
		return nil
	case !mayBeSent(code):
		return closeCode
	case !utf8.Valid(c.Payload()[2:]):
		return closeReason
	}
	return nil
}

// mayBeSent reports whether a Close may carry the code (RFC 6455 7.4, and the IANA
// registry for 1012 to 1014). 1004 has no meaning. 1005, 1006 and 1015 stand for ends
// without such a code. Other codes below 3000 are unassigned.
func mayBeSent(code ws.StatusCode) bool {
	switch {
	case code >= 3000:
		return code < 5000
	case code >= 1007:
		return code <= 1014
	default:
		return code >= 1000 && code <= 1003
	}
}
