package proxy

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/proxy/internal/backend"
	"holdfast/proxy/internal/field"
)

// A Balance is the rule by which a request gets its target, among those that are up.
type Balance = backend.Balance

// What a Balance looks at.
const (
	LeastSessions = backend.LeastSessions // of two targets drawn at random, the one with fewer sessions
	RoundRobin    = backend.RoundRobin    // one after another
	HashIP        = backend.HashIP        // the client's address; an IPv6 /64 is one address
	HashHeader    = backend.HashHeader    // a header field; without it, the client's address
	HashCookie    = backend.HashCookie    // a cookie; without it, the client's address
)

// How rules that hash are written.
const (
	hashPrefix   = "hash:"
	hashedIP     = hashPrefix + "ip"
	hashedHeader = hashPrefix + "header:" // followed by a name
	hashedCookie = hashPrefix + "cookie:" // followed by a name
)

// ParseBalance parses a rule: least_sessions, round_robin, hash:ip, hash:header:NAME or
// hash:cookie:NAME. The error continues a sentence that begins with the text.
func ParseBalance(text string) (Balance, error) {
	switch text {
	case "least_sessions":
		return Balance{By: LeastSessions}, nil
	case "round_robin":
		return Balance{By: RoundRobin}, nil
	case hashedIP:
		return Balance{By: HashIP}, nil
	}
	if name, ok := strings.CutPrefix(text, hashedHeader); ok && name != "" {
		return Balance{By: HashHeader, Name: name}, checkHashedField(name)
	}
	if name, ok := strings.CutPrefix(text, hashedCookie); ok && name != "" {
		return Balance{By: HashCookie, Name: name}, checkHashedCookie(name)
	}
	return Balance{}, errors.New(writeBalance(text))
}

// checkHashedField returns what is wrong with the name of a field to hash. A field is of
// use if the client states it, and states the same with each request.
func checkHashedField(name string) error {
	switch p := field.Of(name); {
	case !field.IsToken(name):
		return errors.New(`names no valid field; use letters, digits and hyphens, like "hash:header:X-User"`)
	case p.Has(field.Hop):
		return errors.New("names a field that belongs to a single connection; name one that clients send with every request")
	case p.Has(field.Handshake):
		return errors.New("names a field that belongs to a single handshake; name one that clients send with every request")
	case p.Has(field.Own):
		return errors.New(`names a field that the proxy states itself; name one that comes from the client, or write "hash:ip" for the client's address`)
	case p.Has(field.Reserved):
		return errors.New("names a field that says nothing about the client; name one that clients send with every request")
	}
	return nil
}

// checkHashedCookie returns what is wrong with the name of a cookie to hash: it must be a
// token (RFC 6265, section 4.1.1).
func checkHashedCookie(name string) error {
	if !field.IsToken(name) {
		return errors.New(`names no valid cookie; write its name alone, like "hash:cookie:session"`)
	}
	return nil
}

// balanceMeant is what users may write for a rule, in lower case and with underscores, and
// what to write instead. Other proxies have other words.
var balanceMeant = map[string]string{
	"least_sessions": "least_sessions", "least": "least_sessions", "leastsessions": "least_sessions", "least_conn": "least_sessions", "leastconn": "least_sessions",
	"least_connections": "least_sessions", "least_request": "least_sessions",
	"round_robin": "round_robin", "rr": "round_robin", "roundrobin": "round_robin",
	hashedIP: hashedIP, "ip": hashedIP, "ip_hash": hashedIP, "iphash": hashedIP, "source": hashedIP, "source_ip": hashedIP, "client_ip": hashedIP,
	"hash:source": hashedIP, "hash:client_ip": hashedIP, "hash:address": hashedIP,
}

// writeBalance returns what is wrong with the text of a rule, and what to write instead.
func writeBalance(text string) string {
	lower := strings.ToLower(text)
	words := strings.NewReplacer("-", "_", " ", "_").Replace(lower)
	switch {
	case balanceMeant[words] != "":
		return fmt.Sprintf("is not a rule; write %q", balanceMeant[words])
	case words == "sticky", words == "affinity", words == "session", words == "persistent", words == "cookie":
		return `is not a rule; for clients that must come back to the same upstream write "hash:ip", "hash:header:NAME" or "hash:cookie:NAME"`
	case lower == "hash", lower == hashPrefix:
		return `does not say what is hashed; write "hash:ip", "hash:header:NAME" or "hash:cookie:NAME"`
	case lower+":" == hashedHeader, lower == hashedHeader:
		return `names no field; write its name, like "hash:header:X-User"`
	case lower+":" == hashedCookie, lower == hashedCookie:
		return `names no cookie; write its name, like "hash:cookie:session"`
	case strings.HasPrefix(lower, hashedHeader), strings.HasPrefix(lower, hashedCookie):
		return fmt.Sprintf("must begin with %q, in lower case", lower[:len(hashedHeader)])
	}
	return "must be least_sessions, round_robin, hash:ip, hash:header:NAME or hash:cookie:NAME"
}
