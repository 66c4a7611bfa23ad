package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"holdfast/internal/hostport"
	"holdfast/proxy"
)

// parseUpstream parses one element of the list. It does not repeat the errors of net/url:
// they quote parts of the value, and those may be a password.
func parseUpstream(value string) (u Upstream, err error) {
	parsed, err := parseUpstreamURL(value)
	if err != nil {
		return Upstream{}, err
	}
	return Upstream{parsed}, nil
}

// parseUpstreamURL is parseUpstream for the URL alone.
func parseUpstreamURL(value string) (*url.URL, error) {
	if value == "" {
		return nil, errors.New(`is empty; write for example "ws://localhost:9000", or leave its comma out`)
	}
	if path, ok := strings.CutPrefix(value, unixScheme); ok {
		path, err := socketPath(path)
		if err == nil && strings.Contains(path, "?"+modeOption) {
			err = errors.New("has a mode, which only HOLDFAST_LISTEN sets; leave it out")
		}
		return &url.URL{Scheme: unixNetwork, Path: path, OmitHost: true}, err
	}
	if !strings.Contains(value, "://") {
		fault := "has no scheme"
		if schemeMark.MatchString(value) {
			fault = `has no "://" behind its scheme`
		}
		return nil, errors.New(fault + "; " + writeUpstream(value))
	}
	u, err := url.Parse(encodePath(value))
	if err != nil {
		return nil, errors.New("is not a URL; " + writeUpstream(value))
	}
	faults := checkUpstream(u, value)
	if fault := hostFault(u.Host); fault != "" && len(faults) == 1 { // writeUpstream mends nothing else
		return nil, errors.New(fault + "; " + writeUpstream(value))
	}
	return u, errors.Join(faults...)
}

// encodePath percent-encodes the bytes of a URL's path that package net/url does not keep,
// and leaves the others as they are. With one such byte in it, net/url would write the whole
// path anew, and %2F would become a slash. Control characters stay: they are refused.
func encodePath(value string) string {
	scheme := strings.Index(value, "://") + len("://")
	begin := strings.IndexByte(value[scheme:], '/')
	if begin < 0 {
		return value
	}
	var b strings.Builder
	b.WriteString(value[:scheme+begin])
	for _, c := range []byte(value[scheme+begin:]) {
		if c == ' ' || c > 0x7F || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// checkUpstream returns every fault of a URL. u is value, parsed.
func checkUpstream(u *url.URL, value string) (faults []error) {
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
		faults = append(faults, errors.New("has an unknown scheme; use ws://, wss://, http://, https:// or unix:/path"))
	}
	if u.User != nil {
		faults = append(faults, errCredentials)
	}
	if strings.ContainsAny(value, "?#") {
		faults = append(faults, errors.New("must not contain a query or fragment; both come from the client"))
	}
	if fault := hostFault(u.Host); fault != "" {
		faults = append(faults, errors.New(fault))
	} else if at, _ := hostport.Split(u.Host); at.HasPort && !hostport.IsPort(at.Port) {
		faults = append(faults, errors.New("has no valid port; it must be a number from 1 to 65535"))
	}
	return faults
}

// hostFault returns what is wrong with the host in host:port, or "".
func hostFault(hostPort string) string {
	at, ok := hostport.Split(hostPort)
	switch {
	case ok && at.Host == "":
		return "has no host"
	case lacksBrackets(hostPort):
		return "has an IPv6 address without brackets"
	case !ok || !hostport.IsAddressOrName(at.Host):
		return "has no valid host, which is an ASCII host name or an IP address"
	}
	return ""
}

// unixNetwork is the scheme of a socket's URL, and the socket's network in package net.
const unixNetwork = "unix"

// isSocket reports whether u is a unix socket.
func (u Upstream) isSocket() bool { return u.Scheme == unixNetwork }

// Address returns where u is, as package net takes it.
func (u Upstream) Address() (network, address string) {
	switch {
	case u.isSocket():
		return unixNetwork, u.Path
	case u.Port() != "":
		return "tcp", u.Host
	case u.HasTLS():
		return "tcp", net.JoinHostPort(u.Hostname(), "443")
	}
	return "tcp", net.JoinHostPort(u.Hostname(), "80")
}

// HasTLS reports whether u is connected to with TLS.
func (u Upstream) HasTLS() bool { return u.Scheme == "wss" || u.Scheme == "https" }

// UpstreamRequest returns what a client's request for path becomes on its way to u: the
// target, and the Host. The client is taken to name the upstream as its own Host.
func (c Config) UpstreamRequest(u Upstream, path string) (target, host string) {
	return proxy.UpstreamTarget(u.URL, path), c.healthHost(u)
}

// Words that may stand for a Host.
const (
	hostPreserve upstreamHost = "preserve" // the client's
	hostUpstream upstreamHost = "upstream" // the upstream's own
)

func parseUpstreamHost(value string) (upstreamHost, error) {
	host := upstreamHost(value)
	if host == hostPreserve || host == hostUpstream {
		return host, nil
	}
	for _, word := range []upstreamHost{hostPreserve, hostUpstream} {
		if strings.EqualFold(value, string(word)) {
			return "", fmt.Errorf("must be in lower case; write %q", word)
		}
	}
	at, ok := hostport.Split(value)
	if isOff(value) || !ok || at.IPv6.Zone() != "" || !hostport.IsAddressOrName(at.Host) || at.HasPort && !hostport.IsPort(at.Port) {
		return "", errors.New(`must be preserve, upstream, or a host like "service.example" or "service.example:8080"`)
	}
	return host, nil
}

// ownHost returns the Host that a direct client of u would send. A zone is left out, since
// it means nothing to other hosts (RFC 6874, section 1). For a unix socket it is localhost,
// as curl and nginx have it.
func (u Upstream) ownHost() string {
	host := withoutZone(u.Hostname())
	switch {
	case u.isSocket():
		return "localhost"
	case u.Port() != "":
		return net.JoinHostPort(host, u.Port())
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

func parseServerName(value string) (serverName, error) {
	if !hostport.IsAddressOrName(value) || withoutZone(value) != value {
		return "", errors.New("must be a host name or an IP address, without scheme, brackets and port")
	}
	return serverName(value), nil
}

func parseHealthPath(value string) (healthPath, error) {
	isBad := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case !strings.HasPrefix(value, "/"):
		return "", errors.New(`does not begin with a slash; write a path like "/healthz"`)
	case strings.ContainsFunc(value, isBad):
		return "", errors.New("has white space or bytes that are not ASCII; write those as %20 and the like")
	case strings.Contains(value, "#"):
		return "", errors.New("has a fragment, which no request has; leave it out")
	}
	return healthPath(value), nil
}
