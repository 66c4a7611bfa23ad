package config

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// The kernel ends a connection when its peer has acknowledged nothing for the TCP user
// timeout. That timeout is a backstop: it must be longer than the proxy's own timeouts,
// because only those tell why a session ended.
const (
	userTimeoutName   = "HOLDFAST_TCP_USER_TIMEOUT"
	userTimeoutMargin = 10 * time.Second
	minUserTimeout    = time.Minute     // of the default
	maxUserTimeout    = 596 * time.Hour // the kernel takes milliseconds in an int; this is the last whole hour
)

// longestTimeout returns the longest of the timeouts before which the kernel must not
// end a connection, and the name of its variable.
func (c Config) longestTimeout() (longest time.Duration, name string) {
	fields := []any{
		&c.ClientPingTimeout,
		&c.UpstreamPingTimeout,
		&c.WriteTimeout,
		&c.CloseTimeout,
		&c.DialTimeout, // the TCP user timeout limits unanswered SYNs too
	}
	if c.PingTimeout == max(c.ClientPingTimeout, c.UpstreamPingTimeout) { // one of them has taken its value
		fields[0] = &c.PingTimeout
	}
	for _, field := range fields {
		if timeout := time.Duration(reflect.ValueOf(field).Elem().Int()); timeout > longest {
			longest, name = timeout, c.nameOf(field)
		}
	}
	return longest, name
}

// defaultUserTimeout returns the user timeout that is used while its variable is unset.
func (c Config) defaultUserTimeout() time.Duration {
	longest, _ := c.longestTimeout()
	return min(max(longest+userTimeoutMargin, minUserTimeout), maxUserTimeout)
}

// userTimeoutWarning returns a warning if the user timeout is shorter than another
// timeout that it must not cut short.
func (c Config) userTimeoutWarning() (found Problems) {
	longest, name := c.longestTimeout()
	if c.TCPUserTimeout == 0 || c.TCPUserTimeout >= min(longest, maxUserTimeout) {
		return nil
	}
	return Problems{{userTimeoutName, inSeconds(c.TCPUserTimeout), fmt.Sprintf(
		"is shorter than %s=%s, the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least %s",
		name, inSeconds(longest), inSeconds(c.defaultUserTimeout()))}}
}

// inSeconds returns a duration in seconds, as text for a variable.
func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
