package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
