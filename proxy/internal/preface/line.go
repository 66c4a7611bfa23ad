package preface

import (
	"bytes"
	"slices"
)

// maxLine is the longest line of version 1, CRLF included (section 2.1).
const maxLine = 107

// unknownLine begins a line of version 1 that names no client. A CRLF may follow it, or a
// space and text that is ignored.
const unknownLine = lineSignature + " UNKNOWN"

// lineStarts are the valid beginnings of a line of version 1.
var lineStarts = []string{
	lineSignature + " TCP4 ",
	lineSignature + " TCP6 ",
	unknownLine + " ",
	unknownLine + "\r",
}

// lineEnd is End for version 1. It leaves the addresses to Source: they must not be
// decoded before the CRLF is there (section 2.1).
func lineEnd(b []byte) (int, error) {
	if !slices.ContainsFunc(lineStarts, func(start string) bool { return startsLike(b, start) }) {
		return 0, errTransport
	}
	cr := bytes.IndexAny(b[:min(len(b), maxLine-1)], "\r\n")
	switch {
	case cr < 0 && len(b) >= maxLine-1:
		return 0, errLineLength
	case cr < 0:
		return 0, nil
	case b[cr] == '\n':
		return 0, errLineEnd
	case cr+1 == len(b):
		return 0, nil
	case b[cr+1] != '\n':
		return 0, errLineEnd
	}
	return cr + 2, nil
}
