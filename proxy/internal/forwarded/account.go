package forwarded

import (
	"cmp"
	"slices"
	"strings"

	"holdfast/internal/ascii"
	"holdfast/internal/hostport"
	"holdfast/proxy/internal/field"
)

// maxNodes bounds the lists that are taken over. The way of a request is shorter.
const maxNodes = 64

// account is what a trusted peer says. The zero value says nothing.
type account struct {
	chain     []node // who the request came from, the oldest first, without the peer itself
	proto     string // X-Forwarded-Proto, which may be a list
	host      string // X-Forwarded-Host, which may be a list too
	forwarded string // Forwarded; "" if it is to be made of the others
}

// hear reads all four fields. What the X- fields leave open is taken from
// Forwarded, unless the two disagree.
func hear(lookup Lookup) account {
	a := account{
		chain: lastNodes(lookup),
		proto: listOf(lookup, field.XForwardedProto, hostport.IsScheme),
		host:  listOf(lookup, field.XForwardedHost, hostport.IsURIHost),
	}
	if elements := parseForwarded(lookup); len(elements) > 0 {
		a.consult(elements)
	}
	if len(a.chain) == 0 {
		a.chain = realIP(lookup)
	}
	return a
}

// realIP returns the address in X-Real-IP, if it is one. Some proxies say nothing else.
func realIP(lookup Lookup) []node {
	lines := slices.Collect(lookup(field.XRealIP))
	if len(lines) != 1 {
		return nil
	}
	if n, ok := parseNode(field.TrimOWS(lines[0])); ok && n.addr.IsValid() {
		return []node{n.bare()}
	}
	return nil
}

// lastNodes reads X-Forwarded-For from its end, where the nearest node is. A list that is
// too long loses its oldest entries. An entry that is not a node is unknown.
func lastNodes(lookup Lookup) []node {
	var chain []node
	for _, line := range slices.Backward(slices.Collect(lookup(field.XForwardedFor))) {
		for line != "" && len(chain) < maxNodes {
			var entry string
			if line, entry = cutLast(line); entry == "" {
				continue // counts for nothing (RFC 9110 5.6.1.2)
			}
			n, ok := parseNode(entry)
			if !ok {
				n = node{text: unknown}
			}
			chain = append(chain, n)
		}
	}
	slices.Reverse(chain)
	return chain
}

func cutLast(list string) (rest, entry string) {
	comma := strings.LastIndexByte(list, ',')
	return list[:max(comma, 0)], field.TrimOWS(list[comma+1:])
}

// listOf returns the named field in one line. It returns "" if an entry is not what it is
// to be, or empty. Proxies that add to what they were sent make it a list. Which entry of
// several counts is left to the upstream.
func listOf(lookup Lookup, name string, isEntry func(string) bool) string {
	var entries []string
	for line := range lookup(name) {
		for entry := range strings.SplitSeq(line, ",") {
			entry = field.TrimOWS(entry)
			if len(entries) == maxNodes || !isEntry(entry) {
				return ""
			}
			entries = append(entries, entry)
		}
	}
	return strings.Join(entries, ", ")
}

// consult takes Forwarded over if it contradicts the X- fields in nothing.
func (a *account) consult(elements []element) {
	chain, text := read(elements)
	if len(a.chain) == 0 {
		a.chain = chain
	}
	sameNode := func(n, m node) bool { return n.addr == m.addr }
	first := &elements[0] // who met the client itself
	if !slices.EqualFunc(a.chain, chain, sameNode) || !agree(a.proto, first.proto) || !agree(a.host, first.host) {
		return
	}
	a.forwarded = text
	a.proto, a.host = cmp.Or(a.proto, first.proto), cmp.Or(a.host, first.host)
}

// read returns the nodes that are named, and all elements in one line.
func read(elements []element) (chain []node, text string) {
	said := make([]string, len(elements))
	for i, e := range elements {
		said[i] = e.text
		if e.from.text != "" {
			chain = append(chain, e.from.bare())
		}
	}
	return chain, strings.Join(said, ", ")
}

// agree reports whether two fields say the same. One that says nothing agrees.
func agree(a, b string) bool { return a == "" || b == "" || ascii.EqualFold(a, b) }
