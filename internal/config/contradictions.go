package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/certs"
	"holdfast/proxy"
)

// contradictions reports values that are well formed but cannot be used, most of them
// because of another variable.
func (c Config) contradictions(s settings) (found Problems) {
	if c.TCPUserTimeout > maxUserTimeout {
		found = append(found, c.problem(s, &c.TCPUserTimeout, `is too long for the kernel; the longest is "596h"`))
	}
	found = append(found, c.meetings(s)...)
	if c.ProxyProtocol && s["HOLDFAST_TRUSTED_PROXIES"] == "" {
		found = append(found, c.problem(s, &c.ProxyProtocol, "needs HOLDFAST_TRUSTED_PROXIES, since only trusted proxies may send the header; set it"))
	}
	if c.Balance.By == proxy.HashHeader && c.UpstreamHeaders.HasAlias(c.Balance.Name) {
		found = append(found, c.problem(s, &c.Balance, "names a field that HOLDFAST_UPSTREAM_HEADERS sets, whatever the client sends; name another field, or leave it out there"))
	}
	if c.TLSClientCAFile != "" && !c.hasServerTLS() {
		found = append(found, c.problem(s, &c.TLSClientCAFile, "needs HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE; set them, or unset it"))
	}
	found = append(found, c.needlessUpstreamTLS(s)...)
	if c.PProf && s["HOLDFAST_ADMIN_LISTEN"] == "off" {
		found = append(found, c.problem(s, &c.PProf, "has no effect with HOLDFAST_ADMIN_LISTEN=off, since the admin listener serves the profiles; unset one of them"))
	}
	if c.AdminToken != "" && s["HOLDFAST_ADMIN_LISTEN"] == "off" {
		_, from := s.conceal(c.nameOf(&c.AdminToken))
		found = append(found, Problem{Variable: from, Reason: "has no effect with HOLDFAST_ADMIN_LISTEN=off, since the token is for the admin listener; unset one of them"})
	}
	found = append(found, c.applicationContradictions(s)...)
	if c.UpstreamTLSInsecure && c.UpstreamTLSCAFile != "" {
		found = append(found, c.problem(s, &c.UpstreamTLSInsecure, "switches off the check of the certificate that HOLDFAST_UPSTREAM_TLS_CA_FILE is for; unset one of them"))
	}
	return found
}

// problem returns a problem with the value of a field of c. field points to that field.
func (c *Config) problem(s settings, field any, reason string) Problem {
	v := variableNamed(c.nameOf(field))
	if giver := s.giver(v.name); giver != "" {
		return Problem{giver, s[giver], reason}
	}
	value, _ := s.effective(v)
	return Problem{v.name, value, reason}
}

// Warnings returns settings that are accepted but should be changed.
func (c Config) Warnings() (found Problems) {
	found = append(c.userTimeoutWarning(), c.maxSessionsWarning(proxy.OwnDescriptors(0))...)
	if c.UpstreamTLSInsecure {
		found = append(found, Problem{c.nameOf(&c.UpstreamTLSInsecure), "true", "lets anyone on the network path to the upstream read and change everything; unset it where that matters"})
	}
	if c.SetsOrigin() && len(c.AllowedOrigins) == 0 {
		found = append(found, Problem{c.nameOf(&c.UpstreamHeaders), "", "sets Origin, so the service cannot tell whose page asks, and any page may open sessions; set HOLDFAST_ALLOWED_ORIGINS"})
	}
	if c.Balance.By == proxy.HashIP && c.clientsLackAddresses() {
		found = append(found, Problem{c.nameOf(&c.Balance), "hash:ip",
			"cannot tell clients apart, since clients of a unix socket have no address; add unix: to HOLDFAST_TRUSTED_PROXIES if they are proxies that name the client, or write another rule"})
	}
	if c.MaxSessionsPerIP > 0 && c.clientsLackAddresses() {
		found = append(found, Problem{c.nameOf(&c.MaxSessionsPerIP), strconv.Itoa(c.MaxSessionsPerIP),
			"limits nobody, since clients of a unix socket have no address; add unix: to HOLDFAST_TRUSTED_PROXIES if they are proxies that name the client, or unset it"})
	}
	if message, frame := int64(c.MaxMessageSize), int64(c.MaxFrameSize); message > 0 && frame > message {
		found = append(found, Problem{c.nameOf(&c.MaxFrameSize), strconv.FormatInt(frame, 10), fmt.Sprintf(
			"has no effect with %s=%d, since a frame is a part of a message; write at most that, or unset it", c.nameOf(&c.MaxMessageSize), message)})
	}
	if c.DrainTimeout < time.Duration(c.CloseTimeout) {
		found = append(found, Problem{c.nameOf(&c.DrainTimeout), c.DrainTimeout.String(), fmt.Sprintf(
			"is shorter than %s=%v: a stop cuts peers that had time left to answer their Close, and exits with 1; write at least that",
			c.nameOf(&c.CloseTimeout), time.Duration(c.CloseTimeout))})
	}
	found = append(found, c.noPingsWarning()...)
	found = append(found, c.applicationWarnings()...)
	if c.LacksCAs() {
		found = append(found, Problem{c.nameOf(&c.UpstreamTLSCAFile), "", "is not set, and this system has no CAs by which the upstream's certificate could be checked; install them (ca-certificates), or set it"})
	}
	return found
}

// clientsLackAddresses reports whether clients come over a unix socket, and nobody says who
// they are.
func (c Config) clientsLackAddresses() bool {
	return strings.HasPrefix(string(c.Listen), unixScheme) && !c.TrustedProxies.unix
}

// noPingsWarning returns a warning if neither leg has pings, or messages in their place.
func (c Config) noPingsWarning() Problems {
	const means = "no connection is kept alive, and no dead peer is found"
	switch {
	case c.ClientPingInterval != 0 || c.UpstreamPingInterval != 0 || c.ClientAppPing != "" || c.UpstreamAppPing != "":
		return nil
	case c.PingInterval == 0:
		return Problems{{c.nameOf(&c.PingInterval), "0", "sends no pings on either leg: " + means + "; unset it, or set the interval of one leg"}}
	default:
		return Problems{{c.nameOf(&c.ClientPingInterval), "0", "sends no pings, and neither does " + c.nameOf(&c.UpstreamPingInterval) + ": " + means + "; unset one of them"}}
	}
}

// SetsOrigin reports whether HOLDFAST_UPSTREAM_HEADERS states the Origin of every request.
func (c Config) SetsOrigin() bool { return c.UpstreamHeaders.HasAlias("Origin") }

// AllowsOrigin reports whether pages of that origin may open sessions.
func (c Config) AllowsOrigin(origin string) bool {
	return proxy.AllowsOrigin(c.AllowedOrigins, origin)
}

// LacksCAs reports whether an upstream's certificate is to be checked by the system's CAs,
// and there are none.
func (c Config) LacksCAs() bool {
	return c.Upstreams.HasTLS() && c.UpstreamTLSCAFile == "" && !c.UpstreamTLSInsecure && !certs.SystemHasCAs()
}

// A limit of fewer descriptors, or one that allows fewer sessions, is warned of. Hardly
// anybody means it.
const (
	fewDescriptors = 1024
	fewSessions    = 100
)

// maxSessionsWarning returns a warning if MaxSessions is more than the descriptors d allow,
// or if they are few.
func (c Config) maxSessionsWarning(d proxy.Descriptors) (found Problems) {
	name, value := c.nameOf(&c.MaxSessions), strconv.Itoa(c.MaxSessions)
	areFew := d.Limit < fewDescriptors || d.Clients() < fewSessions
	switch {
	case int64(c.MaxSessions) > d.Clients():
		return Problems{{name, value, fmt.Sprintf(
			"is more than the limit of file descriptors allows, which is %d: %s; set at most that%s",
			d.Limit, atMost(d.Clients()), orRaise(d.LimitFor(int64(c.MaxSessions))))}}
	case c.MaxSessions == 0 && areFew:
		return Problems{{name, "", fmt.Sprintf(
			"is not set, and the limit of file descriptors allows few, as it is %d: %s; raise the limit (ulimit -Hn), to %d for 1000 sessions",
			d.Limit, atMost(d.Clients()), d.LimitFor(1000))}}
	case d.Limit < fewDescriptors:
		return Problems{{name, value, fmt.Sprintf(
			"holds, but the limit of file descriptors, which is for all connections together, is only %d; raise the limit (ulimit -Hn) to %d or more",
			d.Limit, fewDescriptors)}}
	}
	return nil
}

// maxDescriptors is the largest limit of descriptors that can be set: fs.nr_open is at most
// the largest int, rounded down to a whole word of bits (fs/file.c of the kernel).
const maxDescriptors = 1<<31 - 64

// orRaise says which limit of descriptors would be enough, if that limit can be set.
func orRaise(limit int64) string {
	if limit > maxDescriptors {
		return ", since no limit would be enough"
	}
	return fmt.Sprintf(", or raise the limit (ulimit -Hn) to %d", limit)
}

// atMost says how many sessions there may be.
func atMost(sessions int64) string {
	if sessions == 1 {
		return "at most one session holds"
	}
	return fmt.Sprintf("at most %d sessions hold", sessions)
}

// SessionLimit returns how many sessions there may be at once, and what sets that limit.
func (c Config) SessionLimit() (limit int64, from string) {
	return c.sessionLimit(proxy.OwnDescriptors(0))
}

// sessionLimit is SessionLimit with the descriptors d.
func (c Config) sessionLimit(d proxy.Descriptors) (limit int64, from string) {
	if asked := int64(c.MaxSessions); asked > 0 && asked <= d.Clients() {
		return asked, c.nameOf(&c.MaxSessions)
	}
	return d.Clients(), fmt.Sprintf("the limit of %d file descriptors", d.Limit)
}

// upstreamTLSPrefix is the prefix of the variables about TLS with the upstream.
const upstreamTLSPrefix = prefix + "UPSTREAM_TLS_"

// needlessUpstreamTLS reports the variables about TLS with the upstream that are set
// although no upstream has TLS.
func (c Config) needlessUpstreamTLS(s settings) (found Problems) {
	if c.Upstreams.HasTLS() || c.Upstreams == nil { // nil: missing, or refused
		return nil
	}
	fields := reflect.ValueOf(c)
	for _, v := range variables {
		if strings.HasPrefix(v.name, upstreamTLSPrefix) && !fields.Field(v.field).IsZero() { // a refused value is zero
			found = append(found, Problem{v.name, s[v.name], "has no effect on an upstream without TLS; unset it, or write wss:// or https:// in HOLDFAST_UPSTREAM"})
		}
	}
	return found
}
