package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"holdfast/internal/hostport"
)

// place is where something listens or is connected to: a host and a port.
type place struct {
	host string // a name, an address, or "" for every address of this machine
	port uint16
}

// placeOf returns the place that host:port names. It returns false for text that is not
// host:port, and for port 0: the kernel chooses another then.
func placeOf(hostPort string) (p place, ok bool) {
	at, ok := hostport.Split(hostPort)
	port, _ := hostport.ParsePort(at.Port)
	return place{at.Host, port}, ok && port > 0
}

// addr returns the address that p names or listens on. It is invalid for names other than
// localhost, since it is not known without asking for them.
func (p place) addr() netip.Addr {
	if strings.EqualFold(strings.TrimSuffix(p.host, "."), "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}) // which package net prefers to listen on
	}
	addr, _ := netip.ParseAddr(p.host)
	return addr.Unmap()
}

// isEverywhere reports whether a listener at p has every address of this machine, those
// of IPv4 and IPv6. Package net listens on both for either wildcard.
func (p place) isEverywhere() bool { return p.host == "" || p.addr().IsUnspecified() }

// isSameHost reports whether two places name the same host.
func (p place) isSameHost(q place) bool {
	return strings.EqualFold(p.host, q.host) || p.addr().IsValid() && p.addr() == q.addr()
}

// collides reports whether the kernel cannot have a listener at p and one at q.
func (p place) collides(q place) bool {
	return p.port == q.port && (p.isEverywhere() || q.isEverywhere() || p.isSameHost(q))
}

// reaches reports whether a connection to p reaches a listener at q, as far as that can
// be known without asking for names. own are the addresses of this machine.
func (p place) reaches(q place, own []netip.Addr) bool {
	switch {
	case p.port != q.port:
		return false
	case p.isEverywhere():
		p.host = "127.0.0.1" // where the kernel connects to instead
	}
	if q.isEverywhere() {
		return p.addr().IsLoopback() || slices.Contains(own, p.addr())
	}
	return p.isSameHost(q)
}

// ownAddresses returns the addresses of this machine. If the system does not tell, there
// are none.
func ownAddresses() (own []netip.Addr) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, prefix.Addr().Unmap())
		}
	}
	return own
}

// meetings reports addresses that are taken twice, and an upstream that is the proxy
// itself.
func (c Config) meetings(s settings) (found Problems) {
	listen, ok := placeOf(string(c.Listen))
	admin, adminOK := placeOf(string(c.AdminListen))
	if ok && adminOK && listen.collides(admin) {
		found = append(found, c.problem(s, &c.AdminListen, "cannot be listened on beside HOLDFAST_LISTEN="+string(c.Listen)+"; give each a port of its own"))
	}
	if c.Upstream == nil || c.Upstream.Scheme == "" { // missing, or refused
		return found
	}
	network, address := c.UpstreamAddress()
	if network == "unix" {
		if string(c.Listen) == unixScheme+address {
			found = append(found, c.problem(s, &c.Upstream, c.isItself(&c.Listen, string(c.Listen))))
		}
		return found
	}
	upstream, _ := placeOf(address)
	own := ownAddresses()
	if ok && upstream.reaches(listen, own) {
		found = append(found, c.problem(s, &c.Upstream, c.isItself(&c.Listen, string(c.Listen))))
	}
	if adminOK && upstream.reaches(admin, own) {
		found = append(found, c.problem(s, &c.Upstream, c.isItself(&c.AdminListen, string(c.AdminListen))))
	}
	return found
}

// isItself says that the upstream is one of our own listeners.
func (c *Config) isItself(listener any, address string) string {
	return "is this proxy itself, by " + c.nameOf(listener) + "=" + address + "; name the service behind it, or change that address"
}
