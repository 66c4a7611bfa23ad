package proxy

import (
	"net/url"

	"holdfast/proxy/internal/upgrade"
)

// UpstreamTarget returns the target that an upstream is asked for by a client that asks
// for target: sessions and pages have the same.
func UpstreamTarget(upstream *url.URL, target string) string {
	return string(upgrade.AppendTarget(nil, prefixOf(upstream), target))
}

// prefixOf returns the path that is put before every request's own. The path of a unix
// upstream is its socket's.
func prefixOf(upstream *url.URL) string {
	if upstream.Scheme == "unix" {
		return ""
	}
	return upstream.EscapedPath()
}
