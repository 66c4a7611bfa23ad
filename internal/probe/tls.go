package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
)

// examine completes the failure of an upgrade without TLS: many servers answer plain HTTP
// on a port for TLS with a status, or with the end of the connection. So it tries TLS on
// another connection.
func (t Target) examine(err error) error {
	failure, ok := errors.AsType[*Failure](err)
	if !ok || failure.Step != Upgrade || t.TLS != nil || t.Network != "tcp" || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if failure.Status == 0 || failure.Status == http.StatusBadRequest {
		failure.SpeaksTLS = t.speaksTLS()
	}
	return err
}

// speaksTLS reports whether a TLS handshake with the upstream succeeds.
func (t Target) speaksTLS() bool {
	ctx, cancel := context.WithTimeout(context.Background(), t.DialTimeout)
	defer cancel()
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, t.Network, t.Address)
	if err != nil {
		return false
	}
	defer plain.Close()
	name, _, _ := strings.Cut(t.Host, ":")
	// The connection only asks whether there is TLS. Nothing is sent over it, so nobody
	// needs to be who the certificate says.
	return tls.Client(plain, &tls.Config{InsecureSkipVerify: true, ServerName: name}).HandshakeContext(ctx) == nil
}
