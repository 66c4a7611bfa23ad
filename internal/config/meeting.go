package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"holdfast/internal/hostport"
)

// place is where a listener is, or where a connection goes: a host and a port.
type place struct {
	host string // a name, an address, or "" for every address of this machine
	port uint16
}

// placeOf returns the place that host:port names. It returns false if hostPort is not of
// that form, or if the port is 0, for which the kernel chooses a port.
func placeOf(hostPort string) (p place, ok bool) {
	at, ok := hostport.Split(hostPort)
	port, _ := hostport.ParsePort(at.Port)
	return place{at.Host, port}, ok && port > 0
}

// addr returns the address of p, without a zone. It is invalid for every name but localhost, because
// names are not looked up.
func (p place) addr() netip.Addr {
	if strings.EqualFold(strings.TrimSuffix(p.host, "."), "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}) // which package net prefers to listen on
	}
	addr, _ := netip.ParseAddr(p.host)
	return addr.Unmap().WithZone("")
}

// isEverywhere reports whether a listener at p listens on every address of this machine,
// IPv4 and IPv6. In package net each of the two wildcards means both.
func (p place) isEverywhere() bool { return p.host == "" || p.addr().IsUnspecified() }

// isSameHost reports whether two places name the same host.
func (p place) isSameHost(q place) bool {
	return strings.EqualFold(p.host, q.host) || p.addr().IsValid() && p.addr() == q.addr()
}

// collides reports whether the kernel refuses listeners at both p and q.
func (p place) collides(q place) bool {
	return p.port == q.port && (p.isEverywhere() || q.isEverywhere() || p.isSameHost(q))
}

// reaches reports whether a connection to p reaches a listener at q. own are the addresses
// of this machine. Since names are not looked up, it returns false for most of them.
func (p place) reaches(q place, own []netip.Addr) bool {
	switch {
	case p.port != q.port:
		return false
	case p.isEverywhere():
		p.host = "127.0.0.1" // the kernel connects there instead
	}
	if q.isEverywhere() {
		return p.addr().IsLoopback() || slices.Contains(own, p.addr())
	}
	return p.isSameHost(q)
}

// ownAddresses returns the addresses of this machine, or none if the system returns an
// error.
func ownAddresses() (own []netip.Addr) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, prefix.Addr().Unmap().WithZone(""))
		}
	}
	return own
}

// meetings reports two listeners at the same address, and upstreams that are the proxy
// itself.
func (c Config) meetings(s settings) (found Problems) {
	listen, ok := placeOf(string(c.Listen))
	admin, adminOK := placeOf(string(c.AdminListen))
	if ok && adminOK && listen.collides(admin) {
		found = append(found, c.problem(s, &c.AdminListen, "is the same address as HOLDFAST_LISTEN="+string(c.Listen)+"; give each its own port"))
	}
	own := ownAddresses()
	for _, u := range c.Upstreams {
		if by := c.isAtOwn(u, own); by != "" {
			found = append(found, c.problem(s, &c.Upstreams, c.Upstreams.about(u, by)))
		}
	}
	return found
}

// isAtOwn returns the reason of a problem if u is at the address of a listener of this
// proxy, by its spelling. own are the addresses of this machine.
func (c *Config) isAtOwn(u Upstream, own []netip.Addr) string {
	network, address := u.Address()
	if network == unixNetwork {
		if c.Listen.Address() == unixScheme+address {
			return c.isItself(&c.Listen, string(c.Listen))
		}
		return ""
	}
	upstream, _ := placeOf(address)
	if listen, ok := placeOf(string(c.Listen)); ok && upstream.reaches(listen, own) {
		return c.isItself(&c.Listen, string(c.Listen))
	}
	if admin, ok := placeOf(string(c.AdminListen)); ok && upstream.reaches(admin, own) {
		return c.isItself(&c.AdminListen, string(c.AdminListen))
	}
	return ""
}

// isItself returns the reason of a problem: an upstream is one of our own listeners.
func (c *Config) isItself(listener any, address string) string {
	return leadsBack(c.nameOf(listener) + "=" + address)
}

// leadsBack returns the reason of a problem: an upstream is the listener that is shown.
func leadsBack(listener string) string {
	return "leads back to this proxy, which listens on " + listener + "; name the service behind the proxy, or change that address"
}
