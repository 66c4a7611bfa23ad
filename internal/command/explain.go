package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/probe"
	"holdfast/proxy"
)

// explain returns an error that says why no session with the upstream could be opened,
// and what to do about it. r is what the upstream u was asked for.
func explain(c config.Config, u config.Upstream, f *probe.Failure, r request) error {
	switch f.Step {
	case probe.Dial:
		return explainDial(c, f.Err)
	case probe.SecureTLS:
		return explainTLS(c, u, f.Err)
	default:
		return explainUpgrade(c, u, f, r)
	}
}

func explainDial(c config.Config, err error) error {
	if isTimeout(err) {
		return fmt.Errorf("no connection within HOLDFAST_DIAL_TIMEOUT=%v (%w); is the address right, and does a firewall let the connection through?",
			time.Duration(c.DialTimeout), err)
	}
	if unknown := explainName(err); unknown != nil {
		return unknown
	}
	return fmt.Errorf("cannot connect: %w; start the service, or correct HOLDFAST_UPSTREAM", err)
}

func explainTLS(c config.Config, u config.Upstream, err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	plain := otherScheme(u)
	switch {
	case errors.As(err, &authority) && c.UpstreamTLSCAFile != "":
		return fmt.Errorf("its certificate leads to none of the CAs in HOLDFAST_UPSTREAM_TLS_CA_FILE=%s (%w); add the CA's certificate there", c.UpstreamTLSCAFile, err)
	case errors.As(err, &authority) && c.LacksCAs():
		return fmt.Errorf("this system has no CAs at all to check its certificate by (%w); install them (ca-certificates), or set HOLDFAST_UPSTREAM_TLS_CA_FILE to a file with the CA's certificate", err)
	case errors.As(err, &authority):
		return fmt.Errorf("its certificate leads to no CA of this system (%w); set HOLDFAST_UPSTREAM_TLS_CA_FILE to a file with the CA's certificate", err)
	case errors.As(err, &name):
		return fmt.Errorf("its certificate is for another name (%w); set HOLDFAST_UPSTREAM_TLS_SERVER_NAME to one that it is for", err)
	case errors.As(err, &record):
		return fmt.Errorf("it does not speak TLS (%w); write %s:// in HOLDFAST_UPSTREAM, or correct the port", err, plain)
	case isTimeout(err):
		return fmt.Errorf("no TLS within HOLDFAST_DIAL_TIMEOUT=%v; if it does not speak TLS, write %s:// in HOLDFAST_UPSTREAM", time.Duration(c.DialTimeout), plain)
	case isEnd(err):
		return fmt.Errorf("closed the connection during the TLS handshake (%w); if it does not speak TLS, write %s:// in HOLDFAST_UPSTREAM", err, plain)
	}
	return fmt.Errorf("the TLS handshake failed: %w", err)
}

// isAskedForCertificate reports whether err is the alert certificate_required of a TLS 1.3
// server (RFC 8446, section 6.2). The alert arrives when the handshake is complete for the
// client. Its type is private to crypto/tls, so its text is compared.
func isAskedForCertificate(err error) bool {
	const certificateRequired = tls.AlertError(116)
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Err.Error() == certificateRequired.Error()
}

func explainUpgrade(c config.Config, u config.Upstream, f *probe.Failure, r request) error {
	secure := ""
	if u.Scheme == "ws" || u.Scheme == "http" {
		secure = fmt.Sprintf("; if it speaks TLS, write %s:// in HOLDFAST_UPSTREAM", otherScheme(u))
	}
	switch answer := explainAnswer(f, r.origin); {
	case f.SpeaksTLS, errors.Is(f.Err, proxy.ErrUpstreamTLS) && secure != "":
		return fmt.Errorf("it speaks TLS; write %s:// in HOLDFAST_UPSTREAM", otherScheme(u))
	case answer != nil:
		return answer
	case f.Status == 400 && secure != "": // the answer of many TLS servers to plain HTTP
		return fmt.Errorf("%w%s", explainStatus(u, f.Status, r.path), secure)
	case f.Status != 0:
		return explainStatus(u, f.Status, r.path)
	case isTimeout(f.Err):
		return fmt.Errorf("did not answer the upgrade within HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT=%v; raise that if the service needs longer", time.Duration(c.UpstreamHandshakeTimeout))
	case isAskedForCertificate(f.Err):
		return fmt.Errorf("it requires a certificate (%w); set HOLDFAST_UPSTREAM_TLS_CERT_FILE and HOLDFAST_UPSTREAM_TLS_KEY_FILE", f.Err)
	case isEnd(f.Err):
		return fmt.Errorf("closed the connection without an answer to the upgrade (%w)%s", f.Err, secure)
	}
	return fmt.Errorf("cannot upgrade: %w; is it a WebSocket service, and is the port right?%s", f.Err, secure)
}

func explainStatus(u config.Upstream, status int, path string) error {
	refused := fmt.Sprintf("refused to upgrade %s with HTTP status %d; if the service upgrades another path", path, status)
	if u.Scheme == "unix" {
		return fmt.Errorf("%s, try that with -path", refused)
	}
	return fmt.Errorf("%s, try that with -path, or write it in HOLDFAST_UPSTREAM, where it is a prefix of the paths that clients request", refused)
}

// otherScheme returns the scheme that differs from u's in TLS alone: wss for ws, ws for wss.
func otherScheme(u config.Upstream) string {
	return map[string]string{"ws": "wss", "http": "https", "wss": "ws", "https": "http"}[u.Scheme]
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// isEnd reports whether err says that the peer ended the connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
