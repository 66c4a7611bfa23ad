package forwarded

import (
	"iter"
	"net/netip"

	"holdfast/proxy/internal/field"
)

// Trust holds the peers whose word on the client is believed. The zero value
// believes nobody.
type Trust struct {
	Prefixes []netip.Prefix
	Unix     bool // the peers of unix sockets, too
}

// Peer reports whether a peer is trusted. The zero Addr is the peer of a unix socket.
func (t *Trust) Peer(addr netip.Addr) bool {
	if !addr.IsValid() {
		return t.Unix
	}
	addr = plain(addr)
	for _, prefix := range t.Prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// plain is an address as prefixes are compared with it, and as it is told: an
// IPv4 address is one however it came, and a zone means nothing to anybody else.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Hop is what the proxy sees of a request by itself.
type Hop struct {
	Peer netip.Addr // the zero Addr for a unix socket
	TLS  bool
	Host string // "" if the request has none
	// Anonymous says that the peer passes on the requests of clients that it does not
	// name. So nothing that such a request says is the peer's own word.
	Anonymous bool
}

// Lookup walks the values of a header field in their order.
type Lookup func(name string) iter.Seq[string]

// Story is who a request came from and how that is told to the upstream.
type Story struct {
	// Client is the zero Addr if it is not known.
	Client netip.Addr
	// Fields are X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded and
	// X-Real-IP, in this order; those without a value are missing.
	Fields field.Fields
	// Believed says that the peer is trusted.
	Believed bool
}

// Resolve finds out who a request came from. Nothing that an untrusted peer
// sends makes a difference.
func (t *Trust) Resolve(hop Hop, lookup Lookup) Story {
	var said account
	believed := t.Peer(hop.Peer) && !hop.Anonymous
	if believed {
		said = hear(lookup)
	}
	client := t.client(hop.Peer.Unmap(), said.chain)
	return Story{
		Client:   client,
		Fields:   said.tell(hop, client),
		Believed: believed,
	}
}

// client walks back from the peer as far as each address is vouched for by a
// trusted one. A node without an address ends the walk: nobody can know who vouched
// for what stands before it.
func (t *Trust) client(peer netip.Addr, chain []node) netip.Addr {
	client := peer
	for i := len(chain) - 1; i >= 0 && t.Peer(client) && chain[i].addr.IsValid(); i-- {
		client = chain[i].addr
	}
	return client
}
