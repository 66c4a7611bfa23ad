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
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
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
		down   bool           // what an upstream is thought to be that was up
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
		b := newBackend(t, "ws://127.0.0.1:1")
		b.setUp(true)
		got := b.Learn(test.err)
		for range dialsUntilDown - 1 {
			b.Learn(test.err)
		}
		if got != test.want || got.Result() != test.result || b.Up() == test.down {
			t.Errorf("%v: outcome %d, result %v, up %v; want %d, %v, %v",
				test.err, got, got.Result(), b.Up(), test.want, test.result, !test.down)
		}
		b.setUp(false)
		b.Learn(test.err)
		if b.Up() != (test.want == Reached) {
			t.Errorf("%v: an upstream that was down is up: %v", test.err, b.Up())
		}
	}
}

// One address that this host could not try leaves it open whether the upstream
// works, wherever it stands among the others.
func TestDialFailsWithWhatThisHostLacked(t *testing.T) {
	refused, lacked := os.NewSyscallError("connect", unix.ECONNREFUSED), os.NewSyscallError("socket", unix.EMFILE)
	for _, errs := range [][]error{{refused, lacked}, {lacked, refused}, {lacked, refused, ErrTimeout}} {
		b := newBackend(t, "ws://127.0.0.1:1")
		d := b.Dial([]socket.Endpoint{first, second, third}, 0, heartbeat.Time(time.Minute))
		for _, err := range errs {
			if _, more := d.Next(0); !more {
				t.Fatal("the addresses have run out")
			}
			d.Missed(0, err)
		}
		if d.Err() != lacked {
			t.Errorf("after %v the dial fails with %v", errs, d.Err())
		}
	}
	b := newBackend(t, "ws://127.0.0.1:1")
	if d := b.Dial(nil, 0, 0); outcomeOf(d.Err()) == Reached {
		t.Error("a dial that has tried nothing counts as one that went well")
	}
}
