package probe

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"holdfast/proxy"
)

// ask sends the request and reads the answer, by the same rules as the proxy. It returns a
// reader of all that the upstream sends after its answer.
func (t Target) ask(conn net.Conn) (io.Reader, error) {
	if err := conn.SetDeadline(time.Now().Add(t.HandshakeTimeout)); err != nil {
		return nil, &Failure{Step: Upgrade, Err: err}
	}
	key := newKey()
	if _, err := conn.Write(t.request(key)); err != nil {
		return nil, &Failure{Step: Upgrade, Err: err}
	}
	answer, err := proxy.ReadUpstreamAnswer(conn, key, t.MaxHeaderSize)
	switch {
	case err != nil:
		return nil, &Failure{Step: Upgrade, Err: err}
	case answer.Status != http.StatusSwitchingProtocols:
		return nil, &Failure{Step: Upgrade, Status: answer.Status, Location: answer.Fields.Get("Location"), Err: fmt.Errorf("HTTP status %d", answer.Status)}
	}
	return io.MultiReader(bytes.NewReader(answer.Early), conn), nil
}

func (t Target) request(key string) []byte {
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", t.Path, t.Host, key)
	return append(t.Header.Append(head), "\r\n"...)
}

// newKey returns a Sec-WebSocket-Key (RFC 6455, section 4.1).
func newKey() string {
	var key [16]byte
	rand.Read(key[:])
	return base64.StdEncoding.EncodeToString(key[:])
}
