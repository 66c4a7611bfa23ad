package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/internal/shown"
)

// An Upstream is one element of HOLDFAST_UPSTREAM: a name, an address or a socket of the
// service behind the proxy.
type Upstream struct{ *url.URL }

// Upstreams are the service behind the proxy. No two are at the same address, and all put
// the same path before requests.
type Upstreams []Upstream

// String returns u as an element of HOLDFAST_UPSTREAM.
func (u Upstream) String() string {
	if u.isSocket() {
		return unixScheme + u.Path
	}
	return u.URL.String()
}

// String returns the list as HOLDFAST_UPSTREAM has it.
func (us Upstreams) String() string {
	var all []string
	for _, u := range us {
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}

// HasTLS reports whether an upstream is connected to with TLS.
func (us Upstreams) HasTLS() bool { return slices.ContainsFunc(us, Upstream.HasTLS) }

// about returns the reason of a problem with one upstream. In a list the reason names that
// upstream.
func (us Upstreams) about(u Upstream, reason string) string {
	if len(us) == 1 {
		return reason
	}
	return inList(u.String(), reason)
}

// errCredentials is the fault of an upstream with a user name or a password.
var errCredentials = errors.New("must not contain a user name or password")

// parseUpstreams parses the list. Its error joins one error for each fault.
func parseUpstreams(value string) (Upstreams, error) {
	if tearsPassword(value) {
		return nil, errCredentials
	}
	all, err := parseList(value, elementParser())
	if err != nil && !strings.Contains(value, ",") {
		err = cmp.Or(separatorFault(value), err)
	}
	return all, errors.Join(append(reasons(err), Upstreams(all).conflicts()...)...)
}

// elementParser returns a parser for the elements of a list, in their order. An element
// without a scheme that follows one with a path may be the rest of that path.
func elementParser() func(string) (Upstream, error) {
	var before Upstream
	return func(element string) (Upstream, error) {
		u, err := parseUpstream(element)
		if err != nil && element != "" && !hasScheme(element) && before.URL != nil && before.prefix() != "" {
			err = fmt.Errorf("%w; a comma in a path is written %%2C", err)
		}
		before = u
		return u, err
	}
}

// hasScheme reports whether an element has a scheme, a known one or not.
func hasScheme(element string) bool {
	return strings.Contains(element, "://") || strings.HasPrefix(element, unixScheme)
}

// tearsPassword reports whether a comma in value may be part of a password. Then no element
// may be shown, because the password's end is in the next one.
func tearsPassword(value string) bool {
	_, rest, _ := strings.Cut(value, ",")
	for element := range strings.SplitSeq(rest, ",") {
		if !hasScheme(strings.TrimSpace(element)) && strings.Contains(element, "@") {
			return true
		}
	}
	return false
}

// separatorFault returns the fault of a list that has blanks or semicolons in place of
// commas. It returns nil for other values.
func separatorFault(value string) error {
	elements := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune("; \t\r\n", r) })
	if len(elements) < 2 {
		return nil
	}
	var distinct []string
	for _, e := range elements {
		if !slices.Contains(distinct, e) {
			distinct = append(distinct, e)
		}
	}
	meant := strings.Join(distinct, ",")
	if _, err := parseUpstreams(meant); err != nil {
		return nil
	}
	reason := "has no commas between its elements"
	if len(distinct) == 1 {
		reason = "has an element more than once"
	}
	return errors.New(reason + "; " + shown.Write(meant, `write for example "ws://a:9000,ws://b:9000"`))
}

// conflicts returns every fault that elements have beside others: they are at the same
// address, or put another path before requests. Elements that were refused are left out.
func (us Upstreams) conflicts() (faults []error) {
	at := map[place]Upstream{}
	var first Upstream
	for _, u := range us {
		if u.URL == nil {
			continue
		}
		if twin, taken := at[u.place()]; taken {
			faults = append(faults, isTwin(u, twin))
			continue
		}
		at[u.place()] = u
		if first.URL == nil {
			first = u
		} else if u.prefix() != first.prefix() {
			faults = append(faults, differInPath(u, first))
		}
	}
	return faults
}

// isTwin returns the fault of u, which is at the same address as twin.
func isTwin(u, twin Upstream) error {
	if u.String() == twin.String() {
		return fmt.Errorf("has an element %s twice; leave one out", shown.Quoted(u.String()))
	}
	return errors.New(inList(u.String(), "is at the same address as "+shown.Quoted(twin.String())+"; leave one out"))
}

// differInPath returns the fault of u, which puts another path before requests than first.
func differInPath(u, first Upstream) error {
	if first.isSocket() {
		u, first = first, u
	}
	if u.isSocket() {
		return fmt.Errorf("has an element %s, which puts no path before requests, beside %s, which has one; leave that path out, since it must be the same for all",
			shown.Quoted(u.String()), shown.Quoted(first.String()))
	}
	return errors.New(inList(u.String(), "has another path than "+shown.Quoted(first.String())+"; write the same path for all, since any of them may get a request"))
}

// place returns the address of u in a form that is the same for every spelling of it. The
// place of a socket has the port 0.
func (u Upstream) place() place {
	network, address := u.Address()
	if network == unixNetwork {
		return place{host: filepath.Clean(address)}
	}
	p, _ := placeOf(address)
	p.host = strings.ToLower(p.host)
	if addr, err := netip.ParseAddr(p.host); err == nil {
		p.host = addr.Unmap().String()
	}
	return p
}

// prefix returns the path that u puts before the path of every request, or "" for none.
func (u Upstream) prefix() string {
	if path := u.EscapedPath(); path != "/" && !u.isSocket() {
		return path
	}
	return ""
}
