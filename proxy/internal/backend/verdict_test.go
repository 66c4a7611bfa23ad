package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/panics"
	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
)

func TestOutcomeOfDials(t *testing.T) {
	connect := func(err error) error { return os.NewSyscallError("connect", err) }
	tests := []struct {
		err    error
		want   Outcome
		result metrics.Result // of a handshake
		down   bool           // whether a target goes down that was up
	}{
		{nil, Reached, metrics.ResultUpstreamUnreachable, false},
		{connect(unix.ECONNREFUSED), Unreachable, metrics.ResultUpstreamUnreachable, true},
		{connect(unix.ENETUNREACH), Unreachable, metrics.ResultUpstreamUnreachable, true},
		{connect(unix.ENOENT), Unreachable, metrics.ResultUpstreamUnreachable, true},
		{socket.ErrItself, Unreachable, metrics.ResultUpstreamUnreachable, true},
		{socket.ErrNoSource, Unreachable, metrics.ResultUpstreamUnreachable, true},
		{io.EOF, Unreachable, metrics.ResultUpstreamUnreachable, true},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, Unreachable, metrics.ResultUpstreamUnreachable, true},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, Unreachable, metrics.ResultUpstreamUnreachable, true},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, Unanswered, metrics.ResultTimeout, true},
		{connect(unix.ETIMEDOUT), Unanswered, metrics.ResultTimeout, true},
		{os.ErrDeadlineExceeded, Unanswered, metrics.ResultTimeout, true},
		{context.DeadlineExceeded, Unanswered, metrics.ResultTimeout, true},
		{ErrTimeout, Unanswered, metrics.ResultTimeout, true},
		{InTLS(ErrTimeout), Unanswered, metrics.ResultTimeout, true},
		{InTLS(unix.ECONNREFUSED), Unreachable, metrics.ResultUpstreamUnreachable, true},
		{InTLS(secure.ErrAborted), GivenUp, metrics.ResultUpstreamUnreachable, false},
		{connect(unix.EADDRNOTAVAIL), Unprovided, metrics.ResultLimit, false},
		{os.NewSyscallError("socket", unix.EMFILE), Unprovided, metrics.ResultLimit, false},
		{os.NewSyscallError("socket", unix.ENFILE), Unprovided, metrics.ResultLimit, false},
		{os.NewSyscallError("socket", unix.ENOBUFS), Unprovided, metrics.ResultLimit, false},
		{fmt.Errorf("wrapped: %w", unix.ENOMEM), Unprovided, metrics.ResultLimit, false},
		{fmt.Errorf("%w: panic", panics.ErrCaught), Faulty, metrics.ResultInternal, false},
		{context.Canceled, GivenUp, metrics.ResultUpstreamUnreachable, false},
		{secure.ErrAborted, GivenUp, metrics.ResultUpstreamUnreachable, false},
	}
	for _, test := range tests {
		r := newRig(t, []string{"ws://" + theOne}, every(-1))
		target := r.target(theOne)
		got := target.Learn(test.err)
		for range dialsUntilDown - 1 {
			target.Learn(test.err)
		}
		if got != test.want || got.Result() != test.result || target.Up() == test.down {
			t.Errorf("%v: outcome %d, result %v, up %v; want %d, %v, %v",
				test.err, got, got.Result(), target.Up(), test.want, test.result, !test.down)
		}
		fails(target)
		target.Learn(test.err)
		if target.Up() != (test.want == Reached) {
			t.Errorf("%v: a target that was down is up: %v", test.err, target.Up())
		}
	}
}

// The error of a TLS handshake says that there was a connection, and why it has ended. It has
// no address of this host, which would be another one each time.
func TestErrorsOfTLSHandshakes(t *testing.T) {
	const ended = "connected, but the connection ended during the TLS handshake"
	read := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 1}, Err: os.NewSyscallError("read", unix.ECONNRESET)}
	alert := errors.New("remote error: tls: handshake failure")
	for _, test := range []struct {
		err  error
		text string
	}{
		{io.EOF, ended},
		{io.ErrUnexpectedEOF, ended},
		{read, ended + ": connection reset by peer"},
		{unix.ECONNRESET, ended + ": connection reset by peer"},
		{ErrTimeout, "connected, but no TLS in time"},
		{alert, alert.Error()},
		{context.Canceled, context.Canceled.Error()},
		{secure.ErrAborted, secure.ErrAborted.Error()},
		{unix.EMFILE, unix.EMFILE.Error()},
	} {
		if got := InTLS(test.err); got.Error() != test.text || !errors.Is(got, test.err) || outcomeOf(got) != outcomeOf(test.err) {
			t.Errorf("%v becomes %v, want %s", test.err, got, test.text)
		}
	}
}
