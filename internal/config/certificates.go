package config

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"holdfast/internal/certs"
)

// Certificates are the loaded TLS files of a configuration.
type Certificates struct {
	Server  *certs.Server // nil if connections of clients have no TLS
	client  *certs.Client // nil if no upstream has TLS
	Watched []Watched
}

// Watched are files that are read again when they change.
type Watched struct {
	Side string // the peer that the TLS is with: client or upstream
	files
}

type files interface {
	Warnings() []string
	Kick()
	Watch(ctx context.Context, every time.Duration, report func(changed bool, err error))
}

// hasServerTLS reports whether connections of clients have TLS. It is true also if only
// one of the two files is set.
func (c Config) hasServerTLS() bool { return c.TLSCertFile != "" || c.TLSKeyFile != "" }

// certificates loads the files, and reports every problem with them.
func (c Config) certificates() (loaded Certificates, found Problems) {
	if c.hasServerTLS() {
		found = append(found, loaded.loadServer(c)...)
	}
	if c.Upstreams.HasTLS() {
		found = append(found, loaded.loadClient(c)...)
	}
	return loaded, found
}

// file returns a TLS file for package certs. path points to the field of c that holds the
// file's path.
func (c *Config) file(path *string) certs.File {
	return certs.File{Variable: c.nameOf(path), Path: *path}
}

func (l *Certificates) loadServer(c Config) Problems {
	server, err := certs.NewServer(certs.Files{
		Cert: c.file(&c.TLSCertFile),
		Key:  c.file(&c.TLSKeyFile),
		CA:   c.file(&c.TLSClientCAFile),
	})
	if err != nil {
		return problemsOf(err)
	}
	l.Server = server
	l.Watched = append(l.Watched, Watched{"client", server})
	return nil
}

func (l *Certificates) loadClient(c Config) Problems {
	client, err := certs.NewClient(certs.Files{
		Cert: c.file(&c.UpstreamTLSCertFile),
		Key:  c.file(&c.UpstreamTLSKeyFile),
		CA:   c.file(&c.UpstreamTLSCAFile),
	}, string(c.UpstreamTLSServerName), c.UpstreamTLSInsecure)
	if err != nil {
		return problemsOf(err)
	}
	l.client = client
	if c.UpstreamTLSCertFile != "" || c.UpstreamTLSCAFile != "" {
		l.Watched = append(l.Watched, Watched{"upstream", client})
	}
	return nil
}

// problemsOf returns the problems in an error of package certs.
func problemsOf(err error) (found Problems) {
	var bad certs.Problems
	if !errors.As(err, &bad) {
		panic(err) // there is no other kind
	}
	for _, p := range bad {
		found = append(found, Problem{p.File.Variable, p.File.Path, p.Reason})
	}
	return found
}

// Warnings returns what was loaded and will not work.
func (l *Certificates) Warnings() (all []string) {
	for _, w := range l.Watched {
		all = append(all, w.Warnings()...)
	}
	return all
}

// serverTLS returns the TLS of clients' connections; nil means no TLS.
func (l *Certificates) serverTLS() *tls.Config {
	if l.Server == nil {
		return nil
	}
	return l.Server.Config()
}

// UpstreamTLS returns a function that returns the TLS for a connection to u; nil means no
// TLS. The function must be called for each connection, since the files may have changed.
func (l *Certificates) UpstreamTLS(u Upstream) func() *tls.Config {
	if l.client == nil || !u.HasTLS() {
		return nil
	}
	name := withoutZone(u.Hostname())
	return func() *tls.Config { return l.client.Config(name) }
}
