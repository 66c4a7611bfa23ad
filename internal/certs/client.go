package certs

import (
	"cmp"
	"crypto/tls"
	"sync"
)

// sessionsKept limits the TLS sessions that are kept to be resumed: one for each server
// name.
const sessionsKept = 64

// Client is the side that connects to upstreams.
type Client struct {
	keeper
	// Static after construction.
	serverName string
	insecure   bool

	configs sync.Mutex             // guards common and named
	common  *tls.Config            // without a server name
	named   map[string]*tls.Config // by server name: common with that name
}

// NewClient loads the files. All are optional: without CA the system's roots are
// trusted; without Cert and Key an upstream that asks for a certificate gets none.
// serverName is the name that the upstream's certificate must be for; if it is empty,
// that is the host of each upstream. If insecure is true, the upstream's certificate is
// not checked. An error is of type Problems.
func NewClient(files Files, serverName string, insecure bool) (*Client, error) {
	c := &Client{
		keeper:     keeper{files: files, kick: make(chan struct{}, 1)},
		serverName: serverName,
		insecure:   insecure,
	}
	c.use = c.dial
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// dial makes the configurations for dialling out of m.
func (c *Client) dial(m *material) {
	config := policy()
	config.RootCAs = m.roots
	config.InsecureSkipVerify = c.insecure
	// The cache is new: a resumed session would be one with the certificates that were
	// loaded before.
	config.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	if m.pair != nil {
		// The certificate is sent even if the upstream does not name its CA as
		// acceptable. So the upstream's error is about this certificate, and not that
		// there was none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.pair, nil }
	}
	c.configs.Lock()
	defer c.configs.Unlock()
	c.common, c.named = config, map[string]*tls.Config{}
}

// Config returns the configuration for a connection to an upstream. host is the
// upstream's name or address, without a port. It must be called for each connection: a
// Reload does not change a configuration that was given out. Config keeps one for each
// host, so host must come from the configuration and not from a peer.
func (c *Client) Config(host string) *tls.Config {
	name := cmp.Or(c.serverName, host)
	c.configs.Lock()
	defer c.configs.Unlock()
	config, ok := c.named[name]
	if !ok {
		config = c.common.Clone()
		config.ServerName = name
		c.named[name] = config
	}
	return config
}
