package config

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A proxy whose upstream is itself would nest requests until it has no descriptor left.
// meetings finds that out by the spelling of addresses. The functions here look names up
// and follow links, but only if an own listener has the upstream's port.

// lookupTimeout bounds one lookup. A name that has no address in time is none of ours.
const lookupTimeout = 2 * time.Second

// A finder looks up the addresses of a name.
type finder func(name string) []netip.Addr

// lookUp asks the system's resolver.
func lookUp(name string) []netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", name) // without addresses there is no loop
	return addrs
}

// LeadsBack reports the upstreams that lead to a listener at that address, which has the
// form of net.Addr, or is unix: and a path. The problems show the listener as shown.
func (c Config) LeadsBack(listen, shown string) (found Problems) {
	for _, u := range c.Upstreams {
		if u.leadsTo(listen, lookUp) {
			found = append(found, Problem{c.nameOf(&c.Upstreams), c.Upstreams.String(), c.Upstreams.about(u, leadsBack(shown))})
		}
	}
	return found
}

// loops reports the upstreams that lead to a listener of this proxy by another name.
func (c Config) loops(s settings, find finder) (found Problems) {
	for _, u := range c.Upstreams {
		switch {
		case u.leadsTo(c.Listen.Address(), find):
			found = append(found, c.problem(s, &c.Upstreams, c.Upstreams.about(u, c.isItself(&c.Listen, string(c.Listen)))))
		case u.leadsTo(string(c.AdminListen), find):
			found = append(found, c.problem(s, &c.Upstreams, c.Upstreams.about(u, c.isItself(&c.AdminListen, string(c.AdminListen)))))
		}
	}
	return found
}

// leadsTo reports whether u leads to a listener at that address: see LeadsBack.
func (u Upstream) leadsTo(listen string, find finder) bool {
	network, address := u.Address()
	if network == unixNetwork {
		return isSameSocket(address, listen)
	}
	upstream, _ := placeOf(address)
	at, ok := placeOf(listen)
	if !ok || at.port != upstream.port {
		return false
	}
	own := ownAddresses()
	for _, from := range upstream.addrs(find) {
		for _, to := range at.addrs(find) {
			if from.reaches(to, own) {
				return true
			}
		}
	}
	return false
}

// addrs returns p with each of its addresses in place of a name, and p itself.
func (p place) addrs(find finder) []place {
	all := []place{p}
	if _, err := netip.ParseAddr(p.host); err == nil || p.host == "" {
		return all
	}
	for _, addr := range find(p.host) {
		all = append(all, place{addr.Unmap().String(), p.port})
	}
	return all
}

// isSameSocket reports whether path is that of the unix socket listen.
func isSameSocket(path, listen string) bool {
	own, isUnix := strings.CutPrefix(listen, unixScheme)
	return isUnix && realPath(path) == realPath(own)
}

// maxLinks is how many links realPath follows, as many as the kernel does: path_resolution(7).
const maxLinks = 40

// realPath returns a path without links. The file that it names need not exist.
func realPath(path string) string {
	for range maxLinks {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, filepath.Base(path))
}
