package upgrade

import (
	"strings"
	"unicode/utf8"
)

// AppendTarget appends the target that the upstream is asked for by a client that asks
// for target. prefix is the path of the upstream, as the operator wrote it; the client's
// path follows it. It is not a fence: dot segments in the target go upstream as they came.
//
// A client's / is the prefix itself: behind /ws it becomes /ws, and behind /ws/ it
// becomes /ws/.
func AppendTarget(dst []byte, prefix, target string) []byte {
	if query, isRoot := strings.CutPrefix(target, "/"); isRoot && prefix != "" && (query == "" || query[0] == '?') {
		return append(append(dst, prefix...), query...)
	}
	return append(append(dst, strings.TrimRight(prefix, "/")...), target...)
}

// loggedPath is how much of a path the log has, in bytes as they came.
const loggedPath = 256

const hexDigits = "0123456789ABCDEF"

// LoggedPath returns the path as the log has it: without its query, which may hold secrets,
// and not longer than anybody reads. Bytes that stand in no URI are percent-encoded. The
// path is a copy, so that the request's head can be freed.
func (r *Request) LoggedPath() string {
	path, end := r.Path(), ""
	if len(path) > loggedPath {
		path, end = path[:loggedPath], "…"
	}
	logged := make([]byte, 0, len(path)+len(end))
	for i := range len(path) {
		if c := path[i]; c < utf8.RuneSelf {
			logged = append(logged, c)
		} else {
			logged = append(logged, '%', hexDigits[c>>4], hexDigits[c&0xf])
		}
	}
	return string(append(logged, end...))
}
