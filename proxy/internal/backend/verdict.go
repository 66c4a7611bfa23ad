package backend

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
)

// An Outcome is how a dial to a backend came out. Handshakes, requests for
// pages and the probe dial, and it means the same for all of them.
type Outcome uint8

const (
	Reached     Outcome = iota // connected, and agreed on TLS if there is to be any: the backend works
	Unreachable                // refused, or broken off, or without an address: the backend fails
	Unanswered                 // not connected in time: the backend fails
	Unprovided                 // this host lacks a port, a descriptor or memory, which says nothing of the backend
	GivenUp                    // nobody waits for it any more, which says nothing of it either
)

// outcomeOf tells from the error of a dial how it came out.
func outcomeOf(err error) Outcome {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		return Reached
	case isLack(err):
		return Unprovided
	case errors.Is(err, context.Canceled), errors.Is(err, secure.ErrAborted):
		return GivenUp
	case errors.Is(err, ErrTimeout), isNet && timeout.Timeout():
		return Unanswered
	default:
		return Unreachable
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

// Learn takes note of what the outcome of a dial says of the backend; err is the
// dial's. Nothing else decides whether the backend is up.
func (b *Backend) Learn(err error) Outcome {
	out := outcomeOf(err)
	switch out {
	case Reached:
		b.works()
	case Unreachable, Unanswered:
		b.stale()
		b.fails()
	case Unprovided, GivenUp:
	}
	return out
}

// Result is what a handshake is counted as whose dial came out like that.
func (out Outcome) Result() metrics.Result {
	switch out {
	case Unanswered:
		return metrics.ResultTimeout
	case Unprovided:
		return metrics.ResultLimit
	case Reached, Unreachable, GivenUp:
	}
	return metrics.ResultUpstreamUnreachable
}
