package certs

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

// Server is the side that clients connect to.
type Server struct {
	keeper
	config *tls.Config                // every handshake begins with it
	latest atomic.Pointer[tls.Config] // GetConfigForClient returns it
}

// NewServer loads the files. Cert and Key must be set. If CA is set, a client is refused
// unless its certificate leads to one of the roots in CA. An error is of type Problems.
func NewServer(files Files) (*Server, error) {
	if files.Cert.Path == "" && files.Key.Path == "" {
		return nil, Problems{{files.Cert, "is not set; TLS needs a certificate, and its key in " + files.Key.Variable}}
	}
	s := &Server{keeper: keeper{files: files, kick: make(chan struct{}, 1)}}
	s.use = s.serve
	// s.config never changes, because session tickets are encrypted with the keys of the
	// configuration that a handshake begins with. So a ticket from before a reload is
	// valid after it. A client whose certificate no longer leads to a root is refused
	// all the same: crypto/tls checks its certificate again.
	s.config = policy()
	s.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.latest.Load(), nil }
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// serve makes the configuration for new handshakes out of m.
func (s *Server) serve(m *material) {
	config := policy()
	config.Certificates = []tls.Certificate{*m.pair}
	if m.roots != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = m.roots
	}
	s.latest.Store(config)
}

// Config returns the configuration for connections of clients. It is always the same.
// Each handshake uses the files that were loaded last when it began.
func (s *Server) Config() *tls.Config { return s.config }

// Expiry returns when the certificate that clients are shown now expires.
func (s *Server) Expiry() time.Time { return s.current.Load().chain[0].NotAfter }
