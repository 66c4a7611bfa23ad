package wire

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
)

// Key is the client's key of RFC 6455 1.3.
const Key = "dGhlIHNhbXBsZSBub25jZQ=="

// Head returns a head of HTTP: its first line and its fields.
func Head(start string, fields ...string) string {
	return start + "\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}

// Request returns a right opening handshake with fields added.
func Request(fields ...string) string {
	return Head("GET /chat?token=s3cret HTTP/1.1", append([]string{
		"Host: service.example",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: " + Key,
		"Sec-WebSocket-Version: 13",
	}, fields...)...)
}

// ParseRequest reads a request's head as a server does.
func ParseRequest(head string) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
}

// Answer returns the right 101 for a request, with fields added.
func Answer(to *http.Request, fields ...string) string {
	return Head("HTTP/1.1 101 Switching Protocols", append([]string{
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Accept: " + Accept(to.Header.Get("Sec-WebSocket-Key")),
	}, fields...)...)
}

// Accept returns the Sec-WebSocket-Accept of a key (RFC 6455 4.2.2).
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
