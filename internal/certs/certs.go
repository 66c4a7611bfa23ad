// Package certs loads the TLS files of a configuration. It reads and checks them, turns
// them into a *tls.Config, and loads them again when they change:
//
//	Files → read → contents → parse → material → Server or Client → *tls.Config
//
// Reload takes this path as a whole or not at all: if the files cannot be read or do not
// fit together, the files loaded before stay in use. A *tls.Config that was given out
// never changes. So a reload affects new handshakes only, and not a live session or a
// handshake that has begun.
//
// The package starts no goroutine and logs nothing. It does not depend on what TLS
// carries.
package certs

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// A File is a file that a variable names.
type File struct {
	Variable string // the variable's name, for messages
	Path     string // the variable's value; empty if it is not set
}

func (f File) String() string {
	if f.Path == "" {
		return f.Variable
	}
	return fmt.Sprintf("%s=%q", f.Variable, f.Path)
}

// Files are the files for one side, Server or Client. All are in PEM.
type Files struct {
	Cert File // the certificate shown to peers, then those that lead to a root
	Key  File // the private key of Cert, not encrypted; set both or neither
	CA   File // the roots that a peer's certificate must lead to
}

// A Problem is one reason why files cannot be used.
type Problem struct {
	File   File
	Reason string // what is wrong and what to do; it follows the variable and its value
}

func (p Problem) String() string { return p.File.String() + " " + p.Reason }

// Problems are all reasons. Every error of this package is of this type.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps *Problems) add(file File, reason string, args ...any) {
	*ps = append(*ps, Problem{file, fmt.Sprintf(reason, args...)})
}

// policy returns the settings that all configurations of this package share.
func policy() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Holdfast speaks WebSocket over HTTP/1.1 only (RFC 6455, section 4.1). A peer
		// that offers only other protocols is refused with no_application_protocol
		// (RFC 7301, section 3.2). A peer without ALPN is not refused.
		NextProtos: []string{"http/1.1"},
		// Small first records spare a web page a round trip. Here each burst after a
		// pause would take more records and more system calls.
		DynamicRecordSizingDisabled: true,
		// HTTP does not need renegotiation, which lets a peer stop a session at any time.
		Renegotiation: tls.RenegotiateNever,
	}
}
