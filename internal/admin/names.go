package admin

import (
	"net/http"
	"path"
	"strings"
)

// upstreamPaths is what the paths of upstreams begin with. The name of an upstream follows.
const upstreamPaths = "/api/upstreams/"

// asWritten lets operators write the name of an upstream as the metrics and the log have it:
// ws://host:port, whose slashes belong into the path as %2F. http.ServeMux would answer a
// path with two slashes in a row with a redirect, which programs do not follow after a POST.
// So such a path is not found, if there is no name in it.
func asWritten(next, notFound http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.EscapedPath()
		meant := withWholeName(asked)
		if meant == asked && !isReading(r) && path.Clean(asked) != asked {
			notFound.ServeHTTP(w, r)
			return
		}
		if meant != asked {
			r = r.Clone(r.Context())
			r.URL.RawPath = meant
		}
		next.ServeHTTP(w, r)
	})
}

// withWholeName returns the path with the slashes in an upstream's name escaped.
func withWholeName(asked string) string {
	rest, ok := strings.CutPrefix(asked, upstreamPaths)
	end := strings.LastIndexByte(rest, '/')
	if !ok || end < 0 {
		return asked
	}
	return upstreamPaths + strings.ReplaceAll(rest[:end], "/", "%2F") + rest[end:]
}

// nameIn returns the name of an upstream for what a path has in its place: the name itself,
// or the label that the metrics and the log have.
func (cfg Config) nameIn(given string) string {
	for _, t := range cfg.Proxy.Targets() {
		if t.Upstream == given {
			return t.Name()
		}
	}
	return given
}
