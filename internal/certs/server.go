package certs

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

// Server is the side that clients connect to.
type Server struct {
	keeper
	config *tls.Config                // what handshakes begin with
	latest atomic.Pointer[tls.Config] // what they go on with
}

// NewServer loads the files, of which Cert and Key must be set. With CA set,
// only clients are let in whose certificate leads to one of its roots. An error
// is of type Problems.
func NewServer(files Files) (*Server, error) {
	if files.Cert.Path == "" && files.Key.Path == "" {
		return nil, Problems{{files.Cert, "is not set; TLS needs a certificate, and its key in " + files.Key.Variable}}
	}
	s := &Server{keeper: keeper{files: files, kick: make(chan struct{}, 1)}}
	s.use = s.serve
	// This one is the same for good, because session tickets are encrypted with
	// the keys of the configuration that a handshake begins with: those given out
	// before a reload are good after it. A client whose certificate no longer
	// leads to a root is refused nevertheless: crypto/tls checks that again.
	s.config = policy()
	s.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.latest.Load(), nil }
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) serve(m *material) {
	config := policy()
	config.Certificates = []tls.Certificate{*m.pair}
	if m.roots != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = m.roots
	}
	s.latest.Store(config)
}

// Config is what to meet clients with. It is always the same one, and every
// handshake uses what was last loaded when it began.
func (s *Server) Config() *tls.Config { return s.config }

// Expiry is when the certificate that clients are shown now will be, or was,
// valid for the last time.
func (s *Server) Expiry() time.Time { return s.current.Load().chain[0].NotAfter }
