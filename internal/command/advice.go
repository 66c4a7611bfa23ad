package command

import (
	"errors"
	"fmt"
	"net"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/probe"
	"holdfast/internal/shown"
	"holdfast/proxy"
)

// explainAnswer returns an error that says what an upstream's answer to an upgrade means,
// and what to do about it. It returns nil for an answer that says nothing in particular.
// origin is what the upgrade had in Origin, or "".
func explainAnswer(f *probe.Failure, origin string) error {
	switch s := f.Status; {
	case s >= 300 && s < 400 && f.Location != "":
		return fmt.Errorf("redirects to %s with HTTP status %d, and WebSocket clients do not follow; write that address in HOLDFAST_UPSTREAM, with ws:// or wss://",
			shown.Quoted(f.Location), s)
	case s >= 200 && s < 300:
		return fmt.Errorf("answered with a page, HTTP status %d, and did not upgrade: it is not a WebSocket service, or not at this path; "+
			"if it upgrades another path, try that with -path, or write it in HOLDFAST_UPSTREAM, where it is a prefix of the paths that clients request", s)
	case s == 401, s == 407:
		return fmt.Errorf("refused to upgrade with HTTP status %d: it wants credentials, which clients may send and this check does not; "+
			"if no client has them, set them in HOLDFAST_UPSTREAM_HEADERS", s)
	case s == 403 && origin == "":
		return fmt.Errorf("refused to upgrade with HTTP status %d: it may want the Origin that browsers send; try that with -origin, like -origin https://app.example.com; "+
			"or it wants credentials, which clients may send and this check does not", s)
	case s == 403:
		return fmt.Errorf("refused to upgrade with HTTP status %d: it may not accept pages of %s, or compare that with Host, which this check sends as HOLDFAST_UPSTREAM_HOST says; "+
			"or it wants credentials, which clients may send and this check does not", s, origin)
	case s == 421:
		return fmt.Errorf("refused to upgrade with HTTP status %d: it is not responsible for this Host; set HOLDFAST_UPSTREAM_HOST to its own", s)
	case s >= 500:
		return fmt.Errorf("failed with HTTP status %d; its own log says why", s)
	}
	return nil
}

// explainEnd returns an error that says why the session of a check is over before a ping
// was answered, and what to do about it.
func explainEnd(err error) error {
	return explainNoAnswer(err, "a ping",
		"it may want another path (-path), or a field that clients send and this check does not")
}

// explainAppEnd is explainEnd for the application's heartbeat.
func explainAppEnd(err error) error {
	return explainNoAnswer(err, "HOLDFAST_UPSTREAM_APP_PING",
		"it may not know this message, or want others before; correct the variable, or unset it")
}

// explainNoAnswer returns an error that says how a session has ended instead of an answer to
// asked. guess is what an upstream that says so by a Close may want.
func explainNoAnswer(err error, asked, guess string) error {
	closed, isClosed := errors.AsType[*probe.Closed](err)
	violation, isViolation := errors.AsType[*proxy.UpstreamViolation](err)
	switch {
	case isClosed:
		with := "a Close without a code"
		if closed.Code != 0 {
			with = fmt.Sprintf("a Close with code %d and reason %s", closed.Code, shown.Quoted(closed.Reason))
		}
		return fmt.Errorf("it sent %s instead of answering %s; the service's own log may say why; %s", with, asked, guess)
	case errors.Is(err, probe.ErrEnded):
		return fmt.Errorf("%w instead of answering %s", err, asked)
	case isViolation && violation.MessageTooBig:
		return errors.New("it sent a message larger than HOLDFAST_MAX_MESSAGE_SIZE, for which its sessions would be dropped; raise that limit")
	case isViolation && violation.FrameTooBig:
		return errors.New("it sent a frame larger than HOLDFAST_MAX_FRAME_SIZE, for which its sessions would be dropped; raise that limit")
	case isViolation:
		return fmt.Errorf("it broke the protocol, for which its sessions would be dropped: %w; that is the service's to correct", violation)
	default:
		return fmt.Errorf("no answer to %s: %w", asked, err)
	}
}

// explainName returns an error that says what to do about a name that does not resolve, or
// nil for other errors.
func explainName(err error) error {
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("its name does not resolve: %w; correct HOLDFAST_UPSTREAM, or the resolver of this host", lookup)
	}
	return nil
}

// waiting returns what check -connect says when a step takes long.
func waiting(c config.Config, step probe.Step, limit time.Duration) string {
	switch step {
	case probe.Dial, probe.SecureTLS:
		return fmt.Sprintf("waits for a connection, %v at most (HOLDFAST_DIAL_TIMEOUT)", limit)
	case probe.Upgrade:
		return fmt.Sprintf("is connected, and waits for the answer to the upgrade, %v at most (HOLDFAST_UPSTREAM_HANDSHAKE_TIMEOUT)", limit)
	case probe.Health:
		return fmt.Sprintf("waits for the answer to HOLDFAST_HEALTH_PATH, %v at most (HOLDFAST_DIAL_TIMEOUT)", limit)
	case probe.AppPing:
		return fmt.Sprintf("has upgraded, and waits for the answer to HOLDFAST_UPSTREAM_APP_PING, %v at most (%s)", limit, pingLimit(c))
	default:
		return fmt.Sprintf("has upgraded, and waits for the answer to a ping, %v at most (%s)", limit, pingLimit(c))
	}
}

// pingLimit returns the variable that limits how long check -connect waits for a pong.
func pingLimit(c config.Config) string {
	if c.UpstreamPingTimeout == 0 {
		return "HOLDFAST_HANDSHAKE_TIMEOUT"
	}
	return "HOLDFAST_UPSTREAM_PING_TIMEOUT"
}
