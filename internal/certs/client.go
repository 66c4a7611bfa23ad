package certs

import (
	"cmp"
	"crypto/tls"
	"sync"
)

// sessionsKept bounds the TLS sessions that are kept to be resumed. There is one
// for each server name, and an upstream or two have few.
const sessionsKept = 64

// Client is the side that connects to upstreams.
type Client struct {
	keeper
	// Static after construction.
	serverName string
	insecure   bool

	configs sync.Mutex             // guards what follows
	common  *tls.Config            // without a server name
	named   map[string]*tls.Config // common with the server name that is the key
}

// NewClient loads the files, all of which are optional: without CA the system's
// roots are trusted, without Cert and Key an upstream that asks for a certificate
// is shown none. serverName is the name that the upstream's certificate must be
// for; if empty, it is the host of each upstream. insecure has no certificate
// checked at all. An error is of type Problems.
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

func (c *Client) dial(m *material) {
	config := policy()
	config.RootCAs = m.roots
	config.InsecureSkipVerify = c.insecure
	// It begins empty: to resume a session from before would be to go on as who
	// the certificate then said.
	config.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	if m.pair != nil {
		// Shown whichever CAs the upstream says it accepts: it then refuses this
		// certificate, rather than complain that there was none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.pair, nil }
	}
	c.configs.Lock()
	defer c.configs.Unlock()
	c.common, c.named = config, map[string]*tls.Config{}
}

// Config is what to connect to an upstream with: host is its name or address,
// without a port. Ask for each connection anew, for a Reload does not change those
// given out. They are kept, so host must come from the configuration, not a peer.
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
