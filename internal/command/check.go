package command

import (
	"flag"
	"fmt"
	"math"
	"strings"
	"time"

	"holdfast/internal/daemon"
	"holdfast/internal/shown"
	"holdfast/proxy"
)

// supervisorsMargin is how much longer than a stop a supervisor should wait before it kills
// the process.
const supervisorsMargin = 5 * time.Second

// check validates the configuration. With -connect it also opens a session with each
// address of each upstream.
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
	for _, note := range c.Notes() {
		fmt.Fprintln(p.stdout, note)
	}
	if !*connect {
		stop := c.Stop()
		fmt.Fprintf(p.stdout, "a stop takes %v at most (HOLDFAST_DRAIN_DELAY %v, HOLDFAST_DRAIN_SPREAD %v, HOLDFAST_DRAIN_TIMEOUT %v): let the supervisor wait for %.0f seconds (terminationGracePeriodSeconds, docker stop -t, TimeoutStopSec), or lower the three\n",
			stop.Longest(), stop.Delay, stop.Spread, stop.Timeout, math.Ceil((stop.Longest() + supervisorsMargin).Seconds()))
		return exitOK
	}
	if *origin != "" && !c.AllowsOrigin(*origin) {
		fmt.Fprintf(p.stderr, "HOLDFAST_ALLOWED_ORIGINS does not have %s: Holdfast refuses its pages itself, and the upstream is not asked\n", *origin)
		return exitFailed
	}
	if !p.connect(c, &loaded, request{*path, *origin}) {
		return exitFailed
	}
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
