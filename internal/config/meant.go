package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"holdfast/internal/hostport"
	"holdfast/internal/shown"
)

// These functions find the right spelling of an address that was refused. Every spelling
// that they return would be accepted.

// upstreamExample is suggested if the right spelling cannot be found.
const upstreamExample = `write for example "ws://localhost:9000"`

// schemeMark matches the scheme of an upstream and the colon and slashes after it, even if
// there are too few slashes or too many, or no colon.
var schemeMark = regexp.MustCompile(`^(?i:(wss?|https?)(:/*|//+))`)

// writeUpstream returns what to write instead of a value of HOLDFAST_UPSTREAM.
func writeUpstream(value string) string {
	scheme, rest := "ws", value
	if mark := schemeMark.FindStringSubmatch(value); mark != nil {
		scheme, rest = strings.ToLower(mark[1]), value[len(mark[0]):]
	}
	rest = strings.TrimLeft(rest, "/")
	end := strings.IndexByte(rest+"/", '/')
	meant := scheme + "://" + authorityMeant(rest[:end]) + rest[end:]
	if u, err := url.Parse(meant); err != nil || len(checkUpstream(u, meant)) > 0 {
		return upstreamExample
	}
	return shown.Write(meant, upstreamExample)
}

// durationExample is suggested if the right spelling cannot be found.
const durationExample = `write a number and a unit, like "500ms", "20s" or "1h30m"`

// days matches a number of whole days.
var days = regexp.MustCompile(`^(\d{1,3})(d|days?)$`)

// longUnits match the words for units, and what they are written as.
var longUnits = strings.NewReplacer(
	"hours", "h", "hour", "h", "hrs", "h", "hr", "h",
	"minutes", "m", "minute", "m", "mins", "m", "min", "m",
	"milliseconds", "ms", "millis", "ms", "msec", "ms",
	"seconds", "s", "second", "s", "secs", "s", "sec", "s",
)

// writeDuration returns what to write instead of a value that is not a duration.
func writeDuration(value string) string {
	meant := strings.ReplaceAll(strings.ToLower(value), " ", "")
	if n := days.FindStringSubmatch(meant); n != nil {
		number, _ := strconv.Atoi(n[1]) // three digits at most
		meant = strconv.Itoa(24*number) + "h"
	}
	meant = longUnits.Replace(meant)
	if durationShape.MatchString(meant) {
		if _, err := parseDuration(meant); err == nil {
			return shown.Write(meant, durationExample)
		}
	}
	return durationExample
}

// authorityMeant returns the right spelling of host:port. It puts localhost before a port
// alone, and brackets around an IPv6 address. It returns any other text as it is.
func authorityMeant(text string) string {
	if port := strings.TrimPrefix(text, ":"); hostport.IsPort(port) {
		return net.JoinHostPort("localhost", port)
	}
	if bracketed, ok := inBrackets(text); ok {
		return bracketed
	}
	if isIPv6(text) {
		return "[" + text + "]"
	}
	return text
}

// inBrackets puts brackets around the IPv6 address in an address and port like ::1:9000.
// It returns false if text is something else.
func inBrackets(text string) (string, bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || !isIPv6(text[:i]) || !hostport.IsPort(text[i+1:]) {
		return "", false
	}
	return net.JoinHostPort(text[:i], text[i+1:]), true
}

// lacksBrackets reports whether the host of a URL is an IPv6 address without brackets,
// perhaps with a port. Package net/url would take the part after the last colon as the
// port.
func lacksBrackets(host string) bool {
	_, withPort := inBrackets(host)
	return withPort || isIPv6(host)
}

func isIPv6(text string) bool {
	addr, err := netip.ParseAddr(text)
	return err == nil && addr.Is6()
}
