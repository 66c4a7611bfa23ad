package forwarded

import (
	"cmp"
	"net/netip"
	"strings"

	"holdfast/internal/hostport"
	"holdfast/proxy/internal/field"
)

// tell adds what we see to what was said. client is who that makes the client.
func (a *account) tell(hop Hop, client netip.Addr) field.Fields {
	own := element{proto: "http"}
	if hop.TLS {
		own.proto = "https"
	}
	if hostport.IsURIHost(hop.Host) {
		own.host = hop.Host
	}
	chain := a.chain
	if hop.Peer.IsValid() {
		own.from = addressed(plain(hop.Peer))
		chain = append(chain, own.from)
	}
	proto, host := cmp.Or(a.proto, own.proto), cmp.Or(a.host, own.host)
	real := ""
	switch {
	case client.IsValid() && plain(client) == plain(hop.Peer):
		real = own.from.text
	case client.IsValid():
		real = plain(client).String()
	}
	fields := make(field.Fields, 0, 5)
	for _, f := range [...]field.Field{
		{Name: field.XForwardedFor, Value: list(chain)},
		{Name: field.XForwardedProto, Value: proto},
		{Name: field.XForwardedHost, Value: host},
		{Name: field.Forwarded, Value: a.elements(own, single(proto), single(host))},
		{Name: field.XRealIP, Value: real},
	} {
		if f.Value != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

// list is a chain as X-Forwarded-For has it.
func list(chain []node) string {
	texts := make([]string, len(chain))
	for i, n := range chain {
		texts[i] = n.text
	}
	return strings.Join(texts, ", ")
}

// single is a list's only entry, or "".
func single(list string) string {
	if strings.Contains(list, ",") {
		return ""
	}
	return list
}

// elements returns Forwarded with our own element at its end. If it is made of the X-
// fields, their protocol and host go to the first element: they are about the client's
// request.
func (a *account) elements(own element, proto, host string) string {
	if a.forwarded != "" {
		return a.forwarded + ", " + own.String()
	}
	way := make([]element, len(a.chain), len(a.chain)+1)
	for i, n := range a.chain {
		way[i].from = n
	}
	way = append(way, own)
	way[0].proto, way[0].host = proto, host
	texts := make([]string, len(way))
	for i, e := range way {
		texts[i] = e.String()
	}
	return strings.Join(texts, ", ")
}
