package config

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"time"

	"holdfast/internal/certs"
)

// Certificates are the TLS files of a configuration, loaded.
type Certificates struct {
	Server  *certs.Server // nil if clients are met without TLS
	client  *certs.Client // nil if the upstream is connected to without
	Watched []Watched
}

// Watched are files that are read again when they change.
type Watched struct {
	Side string // whom the TLS is with
	files
}

type files interface {
	Warnings() []string
	Kick()
	Watch(ctx context.Context, every time.Duration, report func(changed bool, err error))
}

// hasServerTLS reports whether clients are to be met with TLS. One of its two files may
// be missing.
func (c Config) hasServerTLS() bool { return c.TLSCertFile != "" || c.TLSKeyFile != "" }

// certificates loads the files, and reports every problem with them.
func (c Config) certificates() (loaded Certificates, found Problems) {
	if c.hasServerTLS() {
		found = append(found, loaded.loadServer(c)...)
	}
	if c.hasUpstreamTLS() {
		found = append(found, loaded.loadClient(c)...)
	}
	return loaded, found
}

// file returns a TLS file as package certs takes it. path points to the field that names
// the file.
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

// problemsOf returns the problems that an error of package certs is made of.
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

// Warnings reports files that were loaded and need attention all the same.
func (l *Certificates) Warnings() (all []string) {
	for _, w := range l.Watched {
		all = append(all, w.Warnings()...)
	}
	return all
}

// serverTLS returns what clients are met with; nil means no TLS.
func (l *Certificates) serverTLS() *tls.Config {
	if l.Server == nil {
		return nil
	}
	return l.Server.Config()
}

// UpstreamTLS returns the function that gives the TLS of the next connection to the
// upstream; nil means no TLS. It must be asked for each connection, since the files may
// have changed.
func (l *Certificates) UpstreamTLS(upstream *url.URL) func() *tls.Config {
	if l.client == nil {
		return nil
	}
	name := withoutZone(upstream.Hostname())
	return func() *tls.Config { return l.client.Config(name) }
}
