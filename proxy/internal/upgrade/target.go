package upgrade

import "strings"

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
