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
// request would, and asks for HOLDFAST_HEALTH_PATH. It prints what each answers, and returns
// false if one has failed.
func (p process) connect(c config.Config, loaded *config.Certificates, r request) (ok bool) {
	ok = true
	leads := map[string]config.Upstream{} // which upstream leads to an address
	for _, u := range c.Upstreams {
		t := targetOf(c, loaded, u, r)
		t.Waits = p.tellsWaits(c, u.String())
		addresses, err := t.Addresses()
		if failure, failed := errors.AsType[*probe.Failure](err); failed {
			p.tellFailure(u.String(), explain(c, u, failure, r))
			ok = false
			continue
		}
		p.warnOfTwins(leads, u, addresses)
		ok = p.connectEach(c, u, t, addresses, r.origin) && ok
	}
	return ok
}

// warnOfTwins warns of the addresses of u to which another upstream leads, and records the
// others. Each of the two upstreams gets a share of the sessions, and a drain is of one.
func (p process) warnOfTwins(leads map[string]config.Upstream, u config.Upstream, addresses []string) {
	for _, address := range addresses {
		if twin, taken := leads[address]; taken {
			fmt.Fprintf(p.stderr, "warning: %s and %s lead to the same address, %s, which then counts as two; leave one of them out\n", twin, u, address)
			continue
		}
		leads[address] = u
	}
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
			ok = p.askHealth(c, u, at, nameOf(u, t, address)) && ok
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

// askHealth asks one address of u for HOLDFAST_HEALTH_PATH, if that is set, as the checks of
// the running proxy do. It prints the answer, and returns false if Holdfast would take the
// address for down.
func (p process) askHealth(c config.Config, u config.Upstream, t probe.Target, name string) (ok bool) {
	if c.HealthPath == "" {
		return true
	}
	t.Path, t.Header = string(c.HealthPath), c.UpstreamHeaders
	variable := "HOLDFAST_HEALTH_PATH=" + t.Path
	status, err := probe.Get(t, time.Duration(c.DialTimeout))
	failure, failed := errors.AsType[*probe.Failure](err)
	switch {
	case failed && failure.Step == probe.Health && isTimeout(failure.Err):
		err = fmt.Errorf("%s is not answered within HOLDFAST_DIAL_TIMEOUT=%v, and Holdfast would take it for down; raise that if the service needs longer", variable, time.Duration(c.DialTimeout))
	case failed && failure.Step == probe.Health:
		err = fmt.Errorf("%s is not answered as HTTP has it (%w), and Holdfast would take it for down; correct the path, or unset it", variable, failure.Err)
	case failed:
		err = explain(c, u, failure, request{path: t.Path})
	case status < 200 || status >= 400:
		err = fmt.Errorf("%s is answered with HTTP status %d, and Holdfast would take it for down; it must be 2xx or 3xx: correct the path, or unset it", variable, status)
	}
	if err != nil {
		p.tellFailure(name, err)
		return false
	}
	fmt.Fprintf(p.stdout, "%s: %s is answered with HTTP status %d\n", name, variable, status)
	return true
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
	upgraded := fmt.Sprintf("upgraded in %v", probe.Rounded(result.Upgraded))
	failure, failed := errors.AsType[*probe.Failure](err)
	switch {
	case failed && failure.Step == probe.Ping:
		return "", fmt.Errorf("%s, then: %w", upgraded, explainEnd(failure.Err))
	case failed && failure.Step != probe.AppPing:
		return "", explain(c, u, failure, request{t.Path, origin})
	}
	verdict, err = judgePing(c, t, result, upgraded)
	switch {
	case err != nil:
		return "", err
	case failed:
		return "", fmt.Errorf("%s, then: %w", verdict, explainAppEnd(failure.Err))
	}
	return verdict + judgeAppPing(c, t, result), nil
}

// judgePing continues the verdict on an upstream with how it answered the ping.
func judgePing(c config.Config, t probe.Target, r probe.Result, verdict string) (string, error) {
	answered := fmt.Sprintf("%s, answered a ping in %v", verdict, probe.Rounded(r.Answered))
	switch {
	case r.Silent:
		return judgeSilence(c, fmt.Sprintf("%s, did not answer a ping within %s=%v", verdict, pingLimit(c), t.PingTimeout))
	case r.Echo:
		return answered, nil
	default:
		return judgeOtherPong(c, answered+" with another payload")
	}
}

// judgeAppPing returns how the verdict ends if the application's heartbeat was sent. Without
// an answer sessions are not dropped, since the deadline holds only for targets that have
// answered.
func judgeAppPing(c config.Config, t probe.Target, r probe.Result) string {
	switch {
	case t.AppPing == "":
		return ""
	case t.AppPong != nil && r.AppSilent:
		return fmt.Sprintf("; did not answer HOLDFAST_UPSTREAM_APP_PING as HOLDFAST_UPSTREAM_APP_PONG says within %s=%v, and will not be held to it before it has answered once",
			pingLimit(c), t.PingTimeout)
	case t.AppPong != nil:
		return fmt.Sprintf(", answered the application heartbeat in %v", probe.Rounded(r.AppAnswered))
	case r.LivedOn:
		return "; was sent HOLDFAST_UPSTREAM_APP_PING and did not end the session for it; no answer is configured (HOLDFAST_UPSTREAM_APP_PONG)"
	default:
		return "; was sent HOLDFAST_UPSTREAM_APP_PING; no answer is configured (HOLDFAST_UPSTREAM_APP_PONG)"
	}
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
		MaxMessageSize:   int64(c.MaxMessageSize),
		AppPing:          string(c.UpstreamAppPing),
		AppPong:          c.UpstreamAppPong,
	}
}
