package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// crypto/tls cannot be made to send every legal record. So here a far end goes
// on by hand where its handshake has ended: with the secrets that crypto/tls
// logs, it seals and opens records of AES-128-GCM itself.

// Record types (RFC 8446 5.1) and handshake message types (RFC 8446 4).
const (
	alertRecord       = 21
	handshakeRecord   = 22
	applicationRecord = 23

	helloRequest = 0
	clientHello  = 1
	keyUpdate    = 24
)

// A codec is one direction of a connection's record layer.
type codec struct {
	version uint16
	aead    cipher.AEAD
	iv      []byte
	secret  []byte // of TLS 1.3
	seq     uint64
}

// byHand makes a connection whose far end is to go on by hand: it sends with
// one codec and receives with the other.
func byHand(t *testing.T, w way) (n *near, f *far, send, receive *codec) {
	t.Helper()
	var keys bytes.Buffer
	n, f = connectNoClose(t, w, func(c *tls.Config) {
		c.KeyLogWriter = &keys
		c.SessionTicketsDisabled = true // they would be the first records of TLS 1.3
	})
	t.Cleanup(func() { must(n.Close()) })
	client, server := codecs13(t, f, keys.String)
	if w.version == tls.VersionTLS12 {
		client, server = codecs12(f, logged(keys.String(), "CLIENT_RANDOM"))
	}
	if w.client {
		return n, f, server, client
	}
	return n, f, client, server
}

// logged returns a secret of a key log.
func logged(log, label string) []byte {
	for line := range strings.Lines(log) {
		if fields := strings.Fields(line); fields[0] == label {
			secret, err := hex.DecodeString(fields[2])
			must(err)
			return secret
		}
	}
	return nil
}

func codecs13(t *testing.T, f *far, log func() string) (client, server *codec) {
	t.Helper()
	state := f.ConnectionState()
	if state.Version != tls.VersionTLS13 {
		return nil, nil
	}
	if state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("this machine prefers %s", tls.CipherSuiteName(state.CipherSuite))
	}
	client, server = &codec{version: tls.VersionTLS13}, &codec{version: tls.VersionTLS13}
	client.use(logged(log(), "CLIENT_TRAFFIC_SECRET_0"))
	server.use(logged(log(), "SERVER_TRAFFIC_SECRET_0"))
	return client, server
}

// use derives the keys of a traffic secret (RFC 8446 7.3).
func (c *codec) use(secret []byte) {
	c.secret = secret
	c.aead = gcm(expandLabel(secret, "key", 16))
	c.iv = expandLabel(secret, "iv", 12)
	c.seq = 0
}

// update is what a KeyUpdate does to its sender's keys (RFC 8446 7.2).
func (c *codec) update() { c.use(expandLabel(c.secret, "traffic upd", sha256.Size)) }

// expandLabel is HKDF-Expand-Label without a context (RFC 8446 7.1).
func expandLabel(secret []byte, label string, size int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label...)
	info = append(info, 0)
	key, err := hkdf.Expand(sha256.New, secret, string(info), size)
	must(err)
	return key
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	must(err)
	aead, err := cipher.NewGCM(block)
	must(err)
	return aead
}

// codecs12 derives the keys of TLS 1.2 (RFC 5246 6.3); both ends have sent
// their Finished with them.
func codecs12(f *far, master []byte) (client, server *codec) {
	const (
		randomAt = headerSize + 4 + 2 // behind the handshake header and the version
		size     = 32
	)
	ours, theirs := f.valve.sentHead[randomAt:][:size], f.valve.readHead[randomAt:][:size]
	if !bytes.Equal(f.valve.sentHead[headerSize:][:1], []byte{clientHello}) {
		ours, theirs = theirs, ours
	}
	seed := bytes.Join([][]byte{[]byte("key expansion"), theirs, ours}, nil) // the server's random first
	keys := prf(master, seed, 2*16+2*4)
	client = &codec{version: tls.VersionTLS12, aead: gcm(keys[:16]), iv: keys[32:36], seq: 1}
	server = &codec{version: tls.VersionTLS12, aead: gcm(keys[16:32]), iv: keys[36:40], seq: 1}
	return client, server
}

// prf is P_SHA256 (RFC 5246 5).
func prf(secret, seed []byte, size int) (out []byte) {
	sum := func(b ...[]byte) []byte {
		mac := hmac.New(sha256.New, secret)
		for _, b := range b {
			_, _ = mac.Write(b) // it never fails
		}
		return mac.Sum(nil)
	}
	for a := sum(seed); len(out) < size; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:size]
}

// seal makes a record.
func (c *codec) seal(kind byte, content []byte) []byte {
	if c.version == tls.VersionTLS13 {
		inner := append(bytes.Clone(content), kind)
		header := appendHeader(nil, applicationRecord, len(inner)+c.aead.Overhead())
		return c.aead.Seal(header, c.nonce(), inner, header)
	}
	explicit := binary.BigEndian.AppendUint64(nil, c.seq)
	header := appendHeader(nil, kind, len(explicit)+len(content)+c.aead.Overhead())
	data := appendHeader(bytes.Clone(explicit), kind, len(content))
	return c.aead.Seal(append(header, explicit...), c.nonce(), content, data)
}

func appendHeader(b []byte, kind byte, size int) []byte {
	return append(b, kind, 3, 3, byte(size>>8), byte(size))
}

// nonce is the next record's.
func (c *codec) nonce() []byte {
	seq := binary.BigEndian.AppendUint64(nil, c.seq)
	c.seq++
	if c.version == tls.VersionTLS12 {
		return append(bytes.Clone(c.iv), seq...) // RFC 5288 3
	}
	nonce := bytes.Clone(c.iv) // RFC 8446 5.3
	for i, b := range seq {
		nonce[len(nonce)-len(seq)+i] ^= b
	}
	return nonce
}

// open reads a record.
func (c *codec) open(t *testing.T, from io.Reader) (kind byte, content []byte) {
	t.Helper()
	header := make([]byte, headerSize)
	_, err := io.ReadFull(from, header)
	must(err)
	body := make([]byte, binary.BigEndian.Uint16(header[lengthAt:]))
	_, err = io.ReadFull(from, body)
	must(err)
	data := header
	nonce := c.nonce()
	if c.version == tls.VersionTLS12 {
		data = appendHeader(binary.BigEndian.AppendUint64(nil, c.seq-1), header[0], len(body)-8-c.aead.Overhead())
		copy(nonce[4:], body)
		body = body[8:]
	}
	content, err = c.aead.Open(nil, nonce, body, data)
	if err != nil {
		t.Fatalf("a record that cannot be opened: %v", err)
	}
	if c.version == tls.VersionTLS12 {
		return header[0], content
	}
	last := len(content) - 1
	return content[last], content[:last]
}

// wantsRecord opens the next record.
func (c *codec) wantsRecord(t *testing.T, why string, from io.Reader, kind byte, content []byte) {
	t.Helper()
	if k, got := c.open(t, from); k != kind || !bytes.Equal(got, content) {
		t.Fatalf("%s: got record %d %.40q, want %d %.40q", why, k, got, kind, content)
	}
}

// message is a handshake message.
func message(kind byte, body ...byte) []byte {
	return append([]byte{kind, 0, 0, byte(len(body))}, body...)
}

// The two KeyUpdates (RFC 8446 4.6.3).
var (
	updateAsked    = message(keyUpdate, 1)
	updateNotAsked = message(keyUpdate, 0)
)
