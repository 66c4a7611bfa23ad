package config

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// The kernel gives a connection up by itself when its peer has acknowledged nothing
// for the TCP user timeout. That is a backstop: it must not come before the
// proxy's own timeouts, which say why a session ended.
const (
	userTimeoutName   = "HOLDFAST_TCP_USER_TIMEOUT"
	userTimeoutMargin = 10 * time.Second
	minUserTimeout    = time.Minute     // of the default
	maxUserTimeout    = 596 * time.Hour // the kernel takes milliseconds in an int; this is the last whole hour
)

// longestTimeout returns the longest of the timeouts that the kernel must not cut
// short, and the name of its variable.
func (c Config) longestTimeout() (longest time.Duration, name string) {
	for _, field := range []any{
		&c.ClientPingTimeout,
		&c.UpstreamPingTimeout,
		&c.WriteTimeout,
		&c.CloseTimeout,
		&c.DialTimeout, // it bounds unanswered SYNs, too
	} {
		if timeout := time.Duration(reflect.ValueOf(field).Elem().Int()); timeout > longest {
			longest, name = timeout, c.nameOf(field)
		}
	}
	return longest, name
}

// defaultUserTimeout returns the user timeout that holds while its variable is unset.
func (c Config) defaultUserTimeout() time.Duration {
	longest, _ := c.longestTimeout()
	return min(max(longest+userTimeoutMargin, minUserTimeout), maxUserTimeout)
}

// userTimeoutWarning warns of a user timeout that cuts a longer timeout short.
func (c Config) userTimeoutWarning() (found Problems) {
	longest, name := c.longestTimeout()
	if c.TCPUserTimeout == 0 || c.TCPUserTimeout >= min(longest, maxUserTimeout) {
		return nil
	}
	return Problems{{userTimeoutName, inSeconds(c.TCPUserTimeout), fmt.Sprintf(
		"is shorter than %s=%s, the longest of the timeouts that the kernel must not cut short: it may drop a connection first; unset it, or set at least %s",
		name, inSeconds(longest), inSeconds(c.defaultUserTimeout()))}}
}

// inSeconds returns a duration as a variable takes it.
func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
