package backend

import (
	"context"
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"

	"holdfast/internal/panics"
	"holdfast/metrics"
	"holdfast/proxy/internal/secure"
)

// An Outcome is the result of a dial to a target. It means the same whether a handshake,
// a request for a page or a check has dialled.
type Outcome uint8

const (
	Reached     Outcome = iota // connected, the TLS handshake included: the target works
	Unreachable                // refused, broken off, or without an address: the target fails
	Unanswered                 // not connected in time: the target fails
	Unprovided                 // this host lacks a port, a descriptor or memory: says nothing about the target
	GivenUp                    // the dial was cancelled: says nothing about the target
	Faulty                     // the proxy's own code failed: says nothing about the target
)

// OutcomeOf returns the outcome of a route that ended with err. A route that has tried
// several targets ends with what the last of them said; but if this host lacked something,
// or the proxy's own code failed, it ends with that: otherwise the service would seem to be
// at fault.
func OutcomeOf(err error) (out Outcome) {
	all, several := err.(failed)
	if !several {
		return outcomeOf(err)
	}
	for _, err := range all {
		if one := outcomeOf(err); out != Unprovided && out != Faulty {
			out = one
		}
	}
	return out
}

// outcomeOf returns the outcome of a dial that ended with err.
func outcomeOf(err error) Outcome {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		return Reached
	case errors.Is(err, panics.ErrCaught):
		return Faulty
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

// noTLS is the error of a connection that was made, and had no TLS in time.
type noTLS struct{ err error }

func (noTLS) Error() string   { return "connected, but no TLS in time" }
func (e noTLS) Unwrap() error { return e.err }

// cutTLS is the error of a connection that was made, and ended during its TLS handshake.
type cutTLS struct{ err error }

func (e cutTLS) Unwrap() error { return e.err }

func (e cutTLS) Error() string {
	const what = "connected, but the connection ended during the TLS handshake"
	if errno, is := errors.AsType[unix.Errno](e.err); is {
		return what + ": " + errno.Error()
	}
	return what
}

// InTLS returns the error of a TLS handshake. If no time was left, or if the connection
// ended, it says that there was a connection: otherwise nobody could tell a service without
// TLS from a silent address, and an "EOF" would say nothing at all.
func InTLS(err error) error {
	_, isErrno := errors.AsType[unix.Errno](err)
	switch out := outcomeOf(err); {
	case out == Unanswered:
		return noTLS{err}
	case out == Unreachable && (isErrno || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return cutTLS{err}
	}
	return err
}

// isLack reports whether err means that this host lacks something.
func isLack(err error) bool {
	for _, lack := range []error{unix.EADDRNOTAVAIL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// Learn records what the outcome of a client's dial says about the target; err is the
// dial's error. Together with the checks it decides whether the target is up.
func (t *Target) Learn(err error) Outcome {
	out := outcomeOf(err)
	t.tried.Store(true)
	switch out {
	case Reached:
		t.dialWorked()
	case Unreachable, Unanswered:
		t.backend.stale()
		t.dialFailed(err)
	case Unprovided, GivenUp, Faulty:
	}
	return out
}

// Result returns how a handshake is counted whose dial failed with out.
func (out Outcome) Result() metrics.Result {
	switch out {
	case Unanswered:
		return metrics.ResultTimeout
	case Unprovided:
		return metrics.ResultLimit
	case Faulty:
		return metrics.ResultInternal
	case Reached, Unreachable, GivenUp:
	}
	return metrics.ResultUpstreamUnreachable
}
