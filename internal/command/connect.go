package command

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/config"
	"holdfast/internal/probe"
	"holdfast/proxy"
)

// request is what the client asks for whose session check -connect opens.
type request struct{ path, origin string }

// connect opens a session with each address of each upstream, as a client with that
// request would. It prints one line for each, and returns false if one has failed.
func (p process) connect(c config.Config, loaded *config.Certificates, r request) (ok bool) {
	ok = true
	for _, u := range c.Upstreams {
		t := targetOf(c, loaded, u, r)
		t.Waits = p.tellsWaits(c, u.String())
		addresses, err := t.Addresses()
		if failure, failed := errors.AsType[*probe.Failure](err); failed {
			p.tellFailure(u.String(), explain(c, u, failure, r))
			ok = false
			continue
		}
		ok = p.connectEach(c, u, t, addresses, r.origin) && ok
	}
	return ok
}

// connectEach is connect for the addresses of one upstream. An address of localhost where
// nothing listens has not failed if another one answers: localhost often has an address of
// IPv6 too, and many services listen at one of the two.
func (p process) connectEach(c config.Config, u config.Upstream, t probe.Target, addresses []string, origin string) (ok bool) {
	ok = true
	answered := false
	deserted := map[string]error{} // where nothing listens, of localhost
	for _, address := range addresses {
		at := t
		at.Address, at.Waits = address, p.tellsWaits(c, nameOf(u, t, address))
		verdict, err := try(c, u, at, origin)
		switch {
		case err == nil:
			answered = true
			fmt.Fprintf(p.stdout, "%s: %s\n", nameOf(u, t, address), verdict)
		case isLocalhost(u) && errors.Is(err, syscall.ECONNREFUSED):
			deserted[address] = err
		default:
			p.tellFailure(nameOf(u, t, address), err)
			ok = false
		}
	}
	for _, address := range slices.Sorted(maps.Keys(deserted)) {
		if answered {
			fmt.Fprintf(p.stdout, "%s: nothing listens there, but another address of localhost answers\n", nameOf(u, t, address))
		} else {
			p.tellFailure(nameOf(u, t, address), deserted[address])
			ok = false
		}
	}
	return ok
}

// nameOf returns what lines of output call an address of u. t is the target that u is.
func nameOf(u config.Upstream, t probe.Target, address string) string {
	if address == t.Address {
		return u.String()
	}
	return u.String() + " at " + address
}

func isLocalhost(u config.Upstream) bool { return strings.EqualFold(u.Hostname(), "localhost") }

// tellFailure prints why an upstream has failed.
func (p process) tellFailure(name string, err error) { fmt.Fprintf(p.stderr, "%s: %v\n", name, err) }

// tellsWaits returns a function that prints what the check of an upstream waits for.
func (p process) tellsWaits(c config.Config, name string) func(probe.Step, time.Duration) {
	return func(step probe.Step, limit time.Duration) {
		fmt.Fprintf(p.stderr, "%s: %s\n", name, waiting(c, step, limit))
	}
}

// try opens a session with an upstream at one address. It returns the result in words. It
// is an error if the upstream does not answer the ping, but only if its sessions would be
// dropped for that. origin is what the request has in Origin, or "".
func try(c config.Config, u config.Upstream, t probe.Target, origin string) (verdict string, err error) {
	result, err := probe.Try(t)
	verdict = fmt.Sprintf("upgraded in %v", probe.Rounded(result.Upgraded))
	var failure *probe.Failure
	switch {
	case errors.As(err, &failure) && failure.Step == probe.Ping:
		return "", fmt.Errorf("%s, then: %w", verdict, explainEnd(failure.Err))
	case errors.As(err, &failure):
		return "", explain(c, u, failure, request{t.Path, origin})
	case err != nil:
		return "", err
	case !result.Silent && result.Echo:
		return fmt.Sprintf("%s, answered a ping in %v", verdict, probe.Rounded(result.Answered)), nil
	case !result.Silent:
		return judgeOtherPong(c, fmt.Sprintf("%s, answered a ping in %v with another payload", verdict, probe.Rounded(result.Answered)))
	}
	return judgeSilence(c, fmt.Sprintf("%s, did not answer a ping within %s=%v", verdict, pingLimit(c), t.PingTimeout))
}

// judgeOtherPong completes the verdict on an upstream that answers a ping, but not with an
// echo.
func judgeOtherPong(c config.Config, verdict string) (string, error) {
	if c.Liveness == heartbeat.AnyByte {
		return verdict + ", which HOLDFAST_LIVENESS=any accepts", nil
	}
	return judgeSilence(c, verdict+", which HOLDFAST_LIVENESS=pong does not accept")
}

// judgeSilence completes the verdict on an upstream that does not answer pings.
func judgeSilence(c config.Config, verdict string) (string, error) {
	if c.UpstreamPong == heartbeat.RequirePong && c.UpstreamPingInterval > 0 && c.UpstreamPingTimeout > 0 {
		return "", fmt.Errorf("%s; HOLDFAST_UPSTREAM_PONG=require would drop its sessions", verdict)
	}
	return verdict + ", and will not be held to it", nil
}

// targetOf returns an upstream as the target of a probe. An Origin in
// HOLDFAST_UPSTREAM_HEADERS takes the place of the client's.
func targetOf(c config.Config, loaded *config.Certificates, u config.Upstream, r request) probe.Target {
	network, address := u.Address()
	target, host := c.UpstreamRequest(u, r.path)
	header := c.UpstreamHeaders
	if r.origin != "" && !c.SetsOrigin() {
		header = append(slices.Clip(header), proxy.HeaderField{Name: "Origin", Value: r.origin})
	}
	return probe.Target{
		Network:          network,
		Address:          address,
		Path:             target,
		Host:             host,
		Header:           header,
		TLS:              loaded.UpstreamTLS(u),
		DialTimeout:      time.Duration(c.DialTimeout),
		HandshakeTimeout: time.Duration(c.UpstreamHandshakeTimeout),
		PingTimeout:      cmp.Or(c.UpstreamPingTimeout, time.Duration(c.HandshakeTimeout)),
		MaxHeaderSize:    int(c.MaxHeaderSize),
		MaxFrameSize:     int64(c.MaxFrameSize),
	}
}
