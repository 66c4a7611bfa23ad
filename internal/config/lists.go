package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"holdfast/internal/shown"
	"holdfast/proxy"
)

// parseList parses a comma-separated list, each element with parse. Its error joins the
// errors of all elements. If the list has several elements, each error names its element.
func parseList[T any](list string, parse func(string) (T, error)) (all []T, err error) {
	isAlone := !strings.Contains(list, ",")
	var bad []error
	for element := range strings.SplitSeq(list, ",") {
		element = strings.TrimSpace(element)
		value, err := parse(element)
		all = append(all, value)
		for _, reason := range reasons(err) {
			if !isAlone {
				reason = errors.New(inList(element, reason.Error()))
			}
			bad = append(bad, reason)
		}
	}
	return all, errors.Join(bad...)
}

// inList returns the reason of a problem with one element of a list.
func inList(element, reason string) string {
	return "has an element " + shown.Quoted(element) + " that " + reason
}

func parseOrigins(value string) (originList, error) {
	return parseList(value, proxy.ParseOrigin)
}

// trusted are the proxies that may say who the client is.
type trusted struct {
	prefixes []netip.Prefix
	unix     bool // every peer that connects to a unix socket
}

func parseTrusted(value string) (trusted, error) {
	var t trusted
	peers, err := parseList(value, parseTrustedPeer)
	for _, peer := range peers {
		if peer == unixPeer {
			t.unix = true
		} else {
			t.prefixes = append(t.prefixes, peer)
		}
	}
	return t, err
}

// unixPeer stands for every peer on a unix socket. Such a peer has no address.
var unixPeer netip.Prefix

// parseTrustedPeer parses a CIDR or a single address. An IPv4 address in IPv6 form becomes
// an IPv4 address.
func parseTrustedPeer(text string) (netip.Prefix, error) {
	if text == unixScheme {
		return unixPeer, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return prefix, errors.New(`is neither an address nor a CIDR nor unix:; write for example "192.0.2.1" or "10.0.0.0/8"`)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("has bits set behind its prefix length; write %q, or %q for one host", prefix.Masked(), prefix.Addr())
	case prefix.Addr().Is4In6():
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96), nil
	}
	return prefix, nil
}
