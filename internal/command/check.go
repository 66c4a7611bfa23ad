package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/heartbeat"
	"holdfast/internal/config"
	"holdfast/internal/daemon"
	"holdfast/internal/probe"
	"holdfast/internal/shown"
	"holdfast/proxy"
)

// supervisorsMargin is how much longer than a stop a supervisor should wait before it kills
// the process.
const supervisorsMargin = 5 * time.Second

// check validates the configuration. With -connect it also opens a session with the
// upstream.
func check(p process, args []string) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	connect := flags.Bool("connect", false, "")
	path := flags.String("path", "/", "")
	origin := flags.String("origin", "", "")
	if code, ok := p.parse(flags, args); !ok {
		return code
	}
	switch {
	case *path != "/" && !*connect:
		return p.misused("-path is for -connect; add it")
	case *origin != "" && !*connect:
		return p.misused("-origin is for -connect; add it")
	case !isPath(*path):
		return p.misused("-path must be what a client requests, like /ws, and not " + shown.Quoted(*path))
	case *origin != "" && !isOrigin(*origin):
		return p.misused("-origin must be what a browser sends, like https://app.example.com, and not " + shown.Quoted(*origin))
	}
	c, loaded, ok := p.configuration()
	if !ok {
		return exitConfig
	}
	if found := daemon.Unbindable(c); len(found) > 0 {
		p.refuse(found)
		return exitConfig
	}
	for _, warning := range c.Warnings() {
		fmt.Fprintln(p.stderr, "warning:", warning)
	}
	for _, warning := range loaded.Warnings() {
		fmt.Fprintln(p.stderr, "warning:", warning)
	}
	fmt.Fprintln(p.stdout, "configuration ok")
	if !*connect {
		stop := c.Stop().Longest()
		fmt.Fprintf(p.stdout, "a stop takes %v at most: let the supervisor wait for %v (terminationGracePeriodSeconds, docker stop -t, TimeoutStopSec)\n",
			stop, stop+supervisorsMargin)
		return exitOK
	}
	if *origin != "" && !c.AllowsOrigin(*origin) {
		fmt.Fprintf(p.stderr, "HOLDFAST_ALLOWED_ORIGINS does not have %s: Holdfast refuses its pages itself, and the upstream is not asked\n", *origin)
		return exitFailed
	}
	verdict, err := tryUpstream(c, &loaded, request{*path, *origin}, func(step probe.Step, limit time.Duration) {
		fmt.Fprintf(p.stderr, "%s: %s\n", c.Upstream, waiting(c, step, limit))
	})
	if err != nil {
		fmt.Fprintf(p.stderr, "%s: %v\n", c.Upstream, err)
		return exitFailed
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", c.Upstream, verdict)
	return exitOK
}

// isPath reports whether a client can request path.
func isPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' })
}

// isOrigin reports whether a browser can send origin. A sandboxed page's is null.
func isOrigin(origin string) bool {
	_, err := proxy.ParseOrigin(origin)
	return origin == "null" || err == nil && strings.Contains(origin, "://") && !strings.Contains(origin, "*")
}

// request is what the client asks for whose session check -connect opens.
type request struct{ path, origin string }

// tryUpstream opens a session with the upstream, as a client with that request would. It
// returns the result in words. It is an error if the upstream does not answer the ping,
// but only if its sessions would be dropped for that.
// waits is told what it waits for, if that takes long.
func tryUpstream(c config.Config, loaded *config.Certificates, r request, waits func(probe.Step, time.Duration)) (verdict string, err error) {
	t := targetOf(c, loaded, r)
	t.Waits = waits
	result, err := probe.Try(t)
	verdict = fmt.Sprintf("upgraded in %v", probe.Rounded(result.Upgraded))
	var failure *probe.Failure
	switch {
	case errors.As(err, &failure) && failure.Step == probe.Ping:
		return "", fmt.Errorf("%s, then: %w", verdict, explainEnd(failure.Err))
	case errors.As(err, &failure):
		return "", explain(c, failure, request{t.Path, r.origin})
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

// targetOf returns the configured upstream as the target of a probe. An Origin in
// HOLDFAST_UPSTREAM_HEADERS takes the place of the client's.
func targetOf(c config.Config, loaded *config.Certificates, r request) probe.Target {
	network, address := c.UpstreamAddress()
	target, host := c.UpstreamRequest(r.path)
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
		TLS:              loaded.UpstreamTLS(c.Upstream),
		DialTimeout:      time.Duration(c.DialTimeout),
		HandshakeTimeout: time.Duration(c.UpstreamHandshakeTimeout),
		PingTimeout:      cmp.Or(c.UpstreamPingTimeout, time.Duration(c.HandshakeTimeout)),
		MaxHeaderSize:    int(c.MaxHeaderSize),
		MaxFrameSize:     int64(c.MaxFrameSize),
	}
}
