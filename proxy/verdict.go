package proxy

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
)

// An outcome is how a dial to the upstream came out. Handshakes, requests for
// pages and the probe dial, and it means the same for all of them.
type outcome uint8

const (
	reached     outcome = iota // connected, and agreed on TLS if there is to be any: the upstream works
	unreachable                // refused, or broken off, or without an address: the upstream fails
	unanswered                 // not connected in time: the upstream fails
	unprovided                 // this host lacks a port, a descriptor or memory, which says nothing of the upstream
	givenUp                    // nobody waits for it any more, which says nothing of it either
)

// outcomeOf tells from the error of a dial how it came out.
func outcomeOf(err error) outcome {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		return reached
	case isLack(err):
		return unprovided
	case errors.Is(err, context.Canceled), errors.Is(err, secure.ErrAborted):
		return givenUp
	case errors.Is(err, errDialTimeout), isNet && timeout.Timeout():
		return unanswered
	default:
		return unreachable
	}
}

// isLack reports whether it is this host that lacks something.
func isLack(err error) bool {
	for _, lack := range []error{unix.EADDRNOTAVAIL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// learn takes note of what the outcome of a dial says of the upstream. Nobody
// else decides whether it is up.
func (b *backend) learn(err error) outcome {
	out := outcomeOf(err)
	switch out {
	case reached:
		b.works()
	case unreachable, unanswered:
		b.stale()
		b.fails()
	case unprovided, givenUp:
	}
	return out
}

// result is what a handshake is counted as whose dial came out like that.
func (out outcome) result() metrics.Result {
	switch out {
	case unanswered:
		return metrics.ResultTimeout
	case unprovided:
		return metrics.ResultLimit
	case reached, unreachable, givenUp:
	}
	return metrics.ResultUpstreamUnreachable
}
