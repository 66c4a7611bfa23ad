package probe

import (
	"context"
	"net"
	"net/netip"
)

// Addresses returns every address of the target, in the form of package net. A name is
// looked up. The error is a *Failure.
func (t Target) Addresses() ([]string, error) {
	host, port, err := net.SplitHostPort(t.Address)
	if _, bad := netip.ParseAddr(host); t.Network != "tcp" || err != nil || bad == nil {
		return []string{t.Address}, nil // there is nothing to look up
	}
	defer t.waits(Dial, t.DialTimeout)()
	ctx, cancel := context.WithTimeout(context.Background(), t.DialTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, &Failure{Step: Dial, Err: err}
	}
	return joined(found, port), nil
}

// joined returns the addresses with a port, each of them once.
func joined(addrs []netip.Addr, port string) (all []string) {
	seen := map[netip.Addr]bool{}
	for _, addr := range addrs {
		if addr = addr.Unmap(); !seen[addr] {
			seen[addr] = true
			all = append(all, net.JoinHostPort(addr.String(), port))
		}
	}
	return all
}
