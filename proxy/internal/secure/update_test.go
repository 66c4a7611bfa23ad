package secure

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
)

// ways13 are those with KeyUpdate.
var ways13 = []way{serverTLS13, clientTLS13}

func TestKeyUpdateIsAnsweredAtOnce(t *testing.T) {
	for _, w := range ways13 {
		t.Run(w.name, func(t *testing.T) {
			n, f, send, receive := byHand(t, w)
			record := send.seal(handshakeRecord, updateAsked)
			send.update()
			f.throws(record[:len(record)/2])
			n.wantsNow("half of a KeyUpdate", nil)
			f.throws(append(record[len(record)/2:], send.seal(applicationRecord, []byte("by the new key"))...))
			n.wantsNow("what comes behind it", []byte("by the new key"))
			receive.wantsRecord(t, "the answer needs no Write", f.valve.Conn, handshakeRecord, updateNotAsked)
			receive.update()
			n.sends([]byte("by our new key"))
			receive.wantsRecord(t, "what is written next", f.valve.Conn, applicationRecord, []byte("by our new key"))
		})
	}
}

// TestMessageSplitOverRecords has crypto/tls wait for more in the middle of a
// handshake message.
func TestMessageSplitOverRecords(t *testing.T) {
	n, f, send, receive := byHand(t, serverTLS13)
	for at := 1; at < len(updateAsked); at++ {
		f.throws(send.seal(handshakeRecord, updateAsked[:at]))
		n.wantsError("a part of a message", errAgain)
		f.throws(send.seal(handshakeRecord, updateAsked[at:]))
		n.wantsError("the rest is not data", errAgain)
		send.update()
		receive.wantsRecord(t, "the answer", f.valve.Conn, handshakeRecord, updateNotAsked)
		receive.update()
	}
}

// TestAnswerWaitsForTheSocket lets a KeyUpdate come while our last record is
// partly in the kernel, and wants no answer inside it.
func TestAnswerWaitsForTheSocket(t *testing.T) {
	for _, behind := range []string{"", "more"} {
		n, f, send, receive := byHand(t, serverTLS13)
		filler := fill(t, n.FD())
		first := []byte("before")
		if size, err := n.Write(first); size != 0 || err != errAgain {
			t.Fatalf("Write to a full socket took %d bytes, %v", size, err)
		}
		f.throws(send.seal(handshakeRecord, updateAsked))
		n.wantsError("a KeyUpdate is not data", errAgain)
		drain(t, f, filler)
		n.sends(append(first, behind...))
		receive.wantsRecord(t, "encrypted before the KeyUpdate", f.valve.Conn, applicationRecord, first)
		receive.wantsRecord(t, "the answer", f.valve.Conn, handshakeRecord, updateNotAsked)
		receive.update()
		if behind != "" {
			receive.wantsRecord(t, "encrypted after it", f.valve.Conn, applicationRecord, []byte(behind))
		}
		must(n.CloseWrite())
		receive.wantsRecord(t, "close_notify", f.valve.Conn, alertRecord, []byte{1, 0})
	}
}

// TestAnswerIsFlushedByARead lets the ciphertext of a Write leave before the
// next one, which then reports it.
func TestAnswerIsFlushedByARead(t *testing.T) {
	n, f, send, receive := byHand(t, serverTLS13)
	filler := fill(t, n.FD())
	if size, err := n.Write([]byte("waits")); size != 0 || err != errAgain {
		t.Fatalf("Write to a full socket took %d bytes, %v", size, err)
	}
	drain(t, f, filler)
	f.throws(send.seal(handshakeRecord, updateAsked))
	n.wantsError("a KeyUpdate is not data", errAgain)
	receive.wantsRecord(t, "it left with the answer", f.valve.Conn, applicationRecord, []byte("waits"))
	receive.wantsRecord(t, "the answer", f.valve.Conn, handshakeRecord, updateNotAsked)
	if size, err := n.Write([]byte("waits")); size != len("waits") || err != nil {
		t.Errorf("Write of bytes that have left took %d, %v", size, err)
	}
}

// TestPeerThatOnlyDemandsAnswers never reads them.
func TestPeerThatOnlyDemandsAnswers(t *testing.T) {
	n, f, send, _ := byHand(t, serverTLS13)
	fill(t, n.FD())
	for round := 1; ; round++ {
		f.throws(send.seal(handshakeRecord, updateAsked))
		send.update()
		f.throws(send.seal(applicationRecord, []byte("x"))) // without data in between crypto/tls itself objects
		_, err := n.Read(n.buf, len(n.buf))
		switch {
		case len(n.kept) > maxAnswers+64:
			t.Fatalf("%d bytes are kept", len(n.kept))
		case err == errDeaf:
			t.Fatal("the error came before the data")
		case n.ended == errDeaf:
			n.wantsError("it is told next, and for good", errDeaf)
			n.wantsError("it is told next, and for good", errDeaf)
			return
		case err != nil:
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// TestPeerThatReadsItsAnswers demands more in all than one that does not read may.
func TestPeerThatReadsItsAnswers(t *testing.T) {
	n, f, send, receive := byHand(t, serverTLS13)
	for range maxAnswers / len(updateAsked) {
		record := send.seal(handshakeRecord, updateAsked)
		send.update()
		f.throws(append(record, send.seal(applicationRecord, []byte("x"))...))
		n.wantsNow("data behind the KeyUpdate", []byte("x"))
		receive.wantsRecord(t, "the answer", f.valve.Conn, handshakeRecord, updateNotAsked)
		receive.update()
	}
}

func TestRecordsWithoutContent(t *testing.T) {
	n, f, send, _ := byHand(t, serverTLS13)
	empty := send.seal(applicationRecord, nil)
	f.throws(empty)
	n.wantsError("an empty record is not data", errAgain)
	f.throws(send.seal(applicationRecord, []byte("data")))
	n.wantsNow("data after it", []byte("data"))
	f.throws(bytes.Join([][]byte{send.seal(applicationRecord, nil), send.seal(applicationRecord, []byte("again"))}, nil))
	n.wantsNow("data behind it", []byte("again"))
}

// TestRenegotiationIsRefused lets either end ask for a handshake in the middle
// of a connection. Nothing may block for it.
func TestRenegotiationIsRefused(t *testing.T) {
	const (
		warning, noRenegotiation = 1, 100
		fatal, unexpectedMessage = 2, 10
	)
	again := func(f *far) []byte { // its ClientHello
		hello := f.valve.sentHead
		return hello[headerSize:new(record).measure(hello)]
	}
	empty := func(*far) []byte { return message(helloRequest) }
	for _, c := range []struct {
		way     way
		message func(*far) []byte
		alert   []byte
	}{
		{clientTLS12, empty, []byte{warning, noRenegotiation}},
		{serverTLS12, again, []byte{fatal, unexpectedMessage}},
		{serverTLS12, empty, []byte{warning, noRenegotiation}},
		{clientTLS13, empty, []byte{fatal, unexpectedMessage}},
		{serverTLS13, again, []byte{fatal, unexpectedMessage}},
	} {
		t.Run(c.way.name, func(t *testing.T) {
			n, f, send, receive := byHand(t, c.way)
			f.throws(send.seal(handshakeRecord, c.message(f)))
			_, err := n.Read(n.buf, len(n.buf))
			if err == nil || err == errAgain || err == io.EOF {
				t.Fatalf("Read: %v", err)
			}
			n.wantsError("which is final", err)
			receive.wantsRecord(t, "the alert", f.valve.Conn, alertRecord, c.alert)
		})
	}
}

// TestCodecIsRight has crypto/tls read what is sealed by hand, both ways.
func TestCodecIsRight(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		n, f, send, receive := byHand(t, w)
		f.throws(send.seal(applicationRecord, []byte("by hand")))
		n.wantsNow("crypto/tls understands it", []byte("by hand"))
		n.sends([]byte("by crypto/tls"))
		receive.wantsRecord(t, "and is understood", f.valve.Conn, applicationRecord, []byte("by crypto/tls"))
		if got := f.ConnectionState().Version; got != w.version {
			t.Errorf("version %s", tls.VersionName(got))
		}
	})
}
