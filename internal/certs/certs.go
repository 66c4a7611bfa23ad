// Package certs holds the TLS files of a configuration. It reads and checks
// them, makes of them what crypto/tls wants, and does so again when they change:
//
//	Files → read → contents → parse → material → Server or Client → *tls.Config
//
// Reload goes that way as a whole or not at all: files that cannot be read or do
// not fit together change nothing, and what was loaded before them stays in use.
// A configuration, once given out, never changes, so that a live session and a
// handshake under way do not notice; only new handshakes do.
//
// It starts no goroutine, logs nothing and knows nothing of what TLS carries.
package certs

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// A File is one that a variable names.
type File struct {
	Variable string // its name, for messages
	Path     string // its value; empty if it is not set
}

func (f File) String() string {
	if f.Path == "" {
		return f.Variable
	}
	return fmt.Sprintf("%s=%q", f.Variable, f.Path)
}

// Files are what one side of TLS is made of. All are in PEM.
type Files struct {
	Cert File // the certificate shown to peers, then those that lead to a root
	Key  File // its private key, not encrypted; goes with Cert, or both are not set
	CA   File // the roots that a peer's certificate must lead to
}

// A Problem is one reason why files cannot be used.
type Problem struct {
	File   File
	Reason string // what is wrong and what to do: goes on after the variable and its value
}

func (p Problem) String() string { return p.File.String() + " " + p.Reason }

// Problems are all such reasons. They are what the errors of this package are.
type Problems []Problem

// Error is one line for each problem.
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

// policy is what all configurations of this package have in common.
func policy() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// WebSocket is spoken over HTTP/1.1 alone here (RFC 6455, section 4.1). A
		// peer that offers only others is refused with no_application_protocol
		// (RFC 7301, section 3.2); one that knows no ALPN is not.
		NextProtos: []string{"http/1.1"},
		// Small first records spare a web page a round trip. Here they would cost
		// every burst after a pause more records and more system calls.
		DynamicRecordSizingDisabled: true,
		// HTTP needs none, and it would let a peer stop a session at any time.
		Renegotiation: tls.RenegotiateNever,
	}
}
