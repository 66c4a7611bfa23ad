package proxy

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

	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
)

func TestOutcomeOfDials(t *testing.T) {
	connect := func(err error) error { return os.NewSyscallError("connect", err) }
	tests := []struct {
		err    error
		want   outcome
		result metrics.Result // of a handshake
		down   bool           // what an upstream is thought to be that was up
	}{
		{nil, reached, metrics.ResultUpstreamUnreachable, false},
		{connect(unix.ECONNREFUSED), unreachable, metrics.ResultUpstreamUnreachable, true},
		{connect(unix.ENETUNREACH), unreachable, metrics.ResultUpstreamUnreachable, true},
		{connect(unix.ENOENT), unreachable, metrics.ResultUpstreamUnreachable, true},
		{socket.ErrItself, unreachable, metrics.ResultUpstreamUnreachable, true},
		{socket.ErrNoSource, unreachable, metrics.ResultUpstreamUnreachable, true},
		{io.EOF, unreachable, metrics.ResultUpstreamUnreachable, true},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, unreachable, metrics.ResultUpstreamUnreachable, true},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, unreachable, metrics.ResultUpstreamUnreachable, true},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, unanswered, metrics.ResultTimeout, true},
		{connect(unix.ETIMEDOUT), unanswered, metrics.ResultTimeout, true},
		{os.ErrDeadlineExceeded, unanswered, metrics.ResultTimeout, true},
		{context.DeadlineExceeded, unanswered, metrics.ResultTimeout, true},
		{errDialTimeout, unanswered, metrics.ResultTimeout, true},
		{connect(unix.EADDRNOTAVAIL), unprovided, metrics.ResultLimit, false},
		{os.NewSyscallError("socket", unix.EMFILE), unprovided, metrics.ResultLimit, false},
		{os.NewSyscallError("socket", unix.ENFILE), unprovided, metrics.ResultLimit, false},
		{os.NewSyscallError("socket", unix.ENOBUFS), unprovided, metrics.ResultLimit, false},
		{fmt.Errorf("wrapped: %w", unix.ENOMEM), unprovided, metrics.ResultLimit, false},
		{context.Canceled, givenUp, metrics.ResultUpstreamUnreachable, false},
		{secure.ErrAborted, givenUp, metrics.ResultUpstreamUnreachable, false},
	}
	for _, test := range tests {
		b := newStage(t, nil).server.backend
		b.probing.Store(true) // or it would be
		got := b.learn(test.err)
		if got != test.want || got.result() != test.result || b.down.Load() != test.down {
			t.Errorf("%v: outcome %d, result %v, down %v; want %d, %v, %v",
				test.err, got, got.result(), b.down.Load(), test.want, test.result, test.down)
		}
		b.down.Store(true)
		b.learn(test.err)
		if up := !b.down.Load(); up != (test.want == reached) {
			t.Errorf("%v: an upstream that was down is up: %v", test.err, up)
		}
	}
}

// One address that this host could not try leaves it open whether the upstream
// works, wherever it stands among the others.
func TestDialFailsWithWhatThisHostLacked(t *testing.T) {
	refused, lacked := os.NewSyscallError("connect", unix.ECONNREFUSED), os.NewSyscallError("socket", unix.EMFILE)
	for _, errs := range [][]error{{refused, lacked}, {lacked, refused}, {lacked, refused, errDialTimeout}} {
		b := newStage(t, nil).server.backend
		d := newDial([]socket.Endpoint{first, second, third}, b.clock().Add(b.dialTimeout))
		for _, err := range errs {
			if _, more := d.next(b.clock()); !more {
				t.Fatal("the addresses have run out")
			}
			b.missed(&d, b.clock(), err)
		}
		if d.err != lacked {
			t.Errorf("after %v the dial fails with %v", errs, d.err)
		}
	}
	if d := newDial(nil, 0); outcomeOf(d.err) == reached {
		t.Error("a dial that has tried nothing counts as one that went well")
	}
}
