package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"holdfast/internal/hostport"
	"holdfast/internal/shown"
)

// These functions find the right spelling of an address that was refused. What they
// return would be accepted.

// upstreamExample is what is suggested where the text does not show what was meant.
const upstreamExample = `write for example "ws://localhost:9000"`

// schemeMark matches the scheme of an upstream, with or without all of what must stand
// behind it.
var schemeMark = regexp.MustCompile(`^(?i:(wss?|https?)(:/*|//+))`)

// writeUpstream returns what to write instead of a value of HOLDFAST_UPSTREAM.
func writeUpstream(value string) string {
	value = strings.Trim(value, " \t\r\n\"'") // as files of variables and shells leave behind
	scheme, rest := "ws", value
	if mark := schemeMark.FindStringSubmatch(value); mark != nil {
		scheme, rest = strings.ToLower(mark[1]), value[len(mark[0]):]
	}
	rest = strings.TrimLeft(rest, "/")
	end := strings.IndexByte(rest+"/", '/')
	meant := scheme + "://" + authorityMeant(rest[:end]) + rest[end:]
	if u, err := url.Parse(meant); err != nil || checkUpstream(u, meant) != nil {
		return upstreamExample
	}
	return "write " + shown.Quoted(meant)
}

// authorityMeant returns text as host:port. It puts localhost before a port that stands
// alone, and brackets around an IPv6 address. Any other text stays as it is.
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

// inBrackets puts brackets around an IPv6 address that a port follows, like ::1:9000. It
// returns false for any other text. hostport.Split refuses such a text.
func inBrackets(text string) (string, bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || !isIPv6(text[:i]) || !hostport.IsPort(text[i+1:]) {
		return "", false
	}
	return net.JoinHostPort(text[:i], text[i+1:]), true
}

// lacksBrackets reports whether a host of a URL is an IPv6 address without brackets,
// perhaps with a port. Package net/url takes what follows its last colon for the port.
func lacksBrackets(host string) bool {
	_, withPort := inBrackets(host)
	return withPort || isIPv6(host)
}

func isIPv6(text string) bool {
	addr, err := netip.ParseAddr(text)
	return err == nil && addr.Is6()
}
