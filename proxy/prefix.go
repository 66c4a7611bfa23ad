package proxy

import (
	"net/url"

	"holdfast/proxy/internal/upgrade"
)

// UpstreamTarget returns the request target that the upstream is sent when a client asks
// for target. It is the same for sessions and for pages.
func UpstreamTarget(upstream *url.URL, target string) string {
	return string(upgrade.AppendTarget(nil, prefixOf(upstream), target))
}

// prefixOf returns the path that is put before the path of every request. It is empty for
// a unix upstream, whose path is its socket's.
func prefixOf(upstream *url.URL) string {
	if upstream.Scheme == "unix" {
		return ""
	}
	return upstream.EscapedPath()
}
