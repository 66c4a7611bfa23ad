package config

import (
	"regexp"
	"slices"
	"strings"
)

const prefix = "HOLDFAST_"

// variable is one line of the table that `holdfast env`, `holdfast -h` and the
// README show.
type variable struct {
	name string
	// def is the value that holds while the variable is unset or empty: a text,
	// or the name of a variable above whose value it takes.
	def     string
	meaning string // words of the configuration stand in backquotes
}

// variables are all that this version understands, in the order in which they
// are shown and complained about. The config struct has a field for each but the
// files of secrets.
var variables = []variable{
	{"HOLDFAST_UPSTREAM", "", "required: the service behind the proxy: `ws://`, `wss://`, `http://` or `https://` and `host:port`, where a path is a prefix; or `unix:/path`"},
	{"HOLDFAST_LISTEN", ":8080", "where clients connect: `host:port`, `unix:/path`, or `systemd:NAME` for a socket of that `FileDescriptorName`"},
	{"HOLDFAST_ADMIN_LISTEN", "127.0.0.1:8081", "metrics and health: `host:port` or `off`"},
	{"HOLDFAST_PING_INTERVAL", "20s", "both legs; `0` = no pings"},
	{"HOLDFAST_PING_TIMEOUT", "20s", "both legs: how long a ping's answer may take; `0` = pings without a deadline"},
	{"HOLDFAST_CLIENT_PING_INTERVAL", "HOLDFAST_PING_INTERVAL", "the client leg's own"},
	{"HOLDFAST_CLIENT_PING_TIMEOUT", "HOLDFAST_PING_TIMEOUT", "the client leg's own"},
	{"HOLDFAST_UPSTREAM_PING_INTERVAL", "HOLDFAST_PING_INTERVAL", "the upstream leg's own"},
	{"HOLDFAST_UPSTREAM_PING_TIMEOUT", "HOLDFAST_PING_TIMEOUT", "the upstream leg's own"},
	{"HOLDFAST_PING_JITTER", "0.1", "part of the interval, `0` to `1`, by which a session's first ping may come early: sessions opened together do not ping together"},
	{"HOLDFAST_LIVENESS", "any", "what proves a peer alive after a ping: `any` byte from it, or only the matching `pong`"},
	{"HOLDFAST_CLIENT_PONG", "require", "`require` · `auto` (learnt per session) · `ignore` (pings and measures, no deadline)"},
	{"HOLDFAST_UPSTREAM_PONG", "auto", "`require` · `auto` (the deadline holds only for an upstream that has ever answered a ping) · `ignore`"},
	{"HOLDFAST_PEER_PINGS", "answer", "a peer's own pings: `answer` here (and swallow unasked pongs), or `forward` to the other side, with all pongs but those to our own pings"},
	{"HOLDFAST_WRITE_TIMEOUT", "30s", "a leg that takes no byte for so long while bytes wait for it is dropped"},
	{"HOLDFAST_CLOSE_TIMEOUT", "10s", "how long a close handshake may take"},
	{"HOLDFAST_IDLE_TIMEOUT", "0", "ends a session with no data frame either way for so long; `0` = never"},
	{"HOLDFAST_MAX_SESSION_DURATION", "0", "ends a session of that age, with ±10 % jitter; `0` = never"},
	{"HOLDFAST_HANDSHAKE_TIMEOUT", "10s", "the client's request head, and the upstream's answer: each in total, not per byte"},
	{"HOLDFAST_DIAL_TIMEOUT", "5s", "TCP and TLS to the upstream, name resolution included"},
	{"HOLDFAST_TCP_USER_TIMEOUT", "", "both legs: the kernel's own backstop for unacknowledged data; unset = the longest of the ping timeouts, `HOLDFAST_WRITE_TIMEOUT`, `HOLDFAST_CLOSE_TIMEOUT` and `HOLDFAST_DIAL_TIMEOUT`, plus `10s`, at least `60s`; `0` = the kernel's default"},
	{"HOLDFAST_MAX_SESSIONS", "0", "`0` = what the file-descriptor limit allows; over it: 503 with `Retry-After`"},
	{"HOLDFAST_MAX_SESSIONS_PER_IP", "0", "connections of one client address, or one IPv6 /64, whatever they are for; over it: 429; `0` = no limit"},
	{"HOLDFAST_MAX_FRAME_SIZE", "0", "larger: Close 1009 to its sender; `0` = no limit"},
	{"HOLDFAST_MAX_HEADER_SIZE", "32KiB", "`1KiB` to `1MiB`; a larger request head: 431"},
	{"HOLDFAST_ALLOWED_ORIGINS", "", "pages whose browsers may open sessions, a list like `https://app.example.com` or `*.example.com`; those of others get 403; unset = all may"},
	{"HOLDFAST_TRUSTED_PROXIES", "", "whose word on the client is believed, a list of addresses and CIDRs, and `unix:` for all who connect to a unix socket: their `Forwarded` and `X-Forwarded-*` are extended, those of others replaced"},
	{"HOLDFAST_PROXY_PROTOCOL", "off", "`off`, or `accept`: a PROXY protocol header, version 1 or 2, begins each connection of a trusted proxy, and of no other client"},
	{"HOLDFAST_TLS_CERT_FILE", "", "with it clients are met with TLS: a PEM file of the certificate and those that lead to its root; TLS files are read again when they change, and on SIGHUP"},
	{"HOLDFAST_TLS_KEY_FILE", "", "the certificate's private key"},
	{"HOLDFAST_TLS_CLIENT_CA_FILE", "", "with it only clients are let in whose certificate leads to one of these CAs"},
	{"HOLDFAST_UPSTREAM_TLS_CA_FILE", "", "the CAs that the certificate of a `wss://` or `https://` upstream may lead to; unset = the system's"},
	{"HOLDFAST_UPSTREAM_TLS_CERT_FILE", "", "the certificate that such an upstream is shown if it asks for one"},
	{"HOLDFAST_UPSTREAM_TLS_KEY_FILE", "", "that certificate's private key"},
	{"HOLDFAST_UPSTREAM_TLS_SERVER_NAME", "", "the name that such an upstream's certificate must be for; unset = the upstream's host"},
	{"HOLDFAST_UPSTREAM_TLS_INSECURE", "false", "`true`: no such certificate is checked, and whoever is in between can read and change all; for tests"},
	{"HOLDFAST_UPSTREAM_HOST", "preserve", "the `Host` that the upstream is sent: the client's (`preserve`), the `upstream`'s own, or any other `host:port`"},
	{"HOLDFAST_UPSTREAM_HEADERS", "", "fields that every request is sent on with, `name=value;name=value` (a secret); clients cannot send them"},
	{"HOLDFAST_UPSTREAM_HEADERS_FILE", "", "a file that holds them instead; a newline at its end is no part of it"},
	{"HOLDFAST_HTTP", "proxy", "requests that are no WebSocket upgrade: `proxy` to the upstream, or `refuse` with 426"},
	{"HOLDFAST_CLOSE_CODE_TIMEOUT", "1011", "what a client is sent that missed its pong"},
	{"HOLDFAST_CLOSE_CODE_UPSTREAM_LOST", "1012", "what a client is sent whose upstream missed its pong, broke the protocol or went away"},
	{"HOLDFAST_CLOSE_CODE_DRAIN", "1012", "what a client is sent whose session is idle, too old or drained"},
	{"HOLDFAST_LOG_LEVEL", "info", "`debug` · `info` · `warn` · `error`"},
	{"HOLDFAST_LOG_FORMAT", "auto", "`auto` (text on a terminal, else JSON) · `text` · `json`"},
	{"HOLDFAST_PPROF", "false", "`true`: `/debug/pprof/` on the admin listener"},
}

// secrets are variables whose value no output shows. Each may instead be held by
// a file, which the variable of the same name and fileSuffix names.
var secrets = []string{"HOLDFAST_UPSTREAM_HEADERS"}

// unsupported are names of the documented configuration that this version does
// not build. They are refused, since a setting that is silently ignored is
// worse than none: a health check, for one.
var unsupported = []string{
	"HOLDFAST_BALANCE",
	"HOLDFAST_HEALTH_INTERVAL",
	"HOLDFAST_HEALTH_PATH",
	"HOLDFAST_DRAIN_DELAY",
	"HOLDFAST_DRAIN_SPREAD",
	"HOLDFAST_DRAIN_TIMEOUT",
	"HOLDFAST_TAKEOVER",
	"HOLDFAST_ADMIN_TOKEN",
	"HOLDFAST_ADMIN_TOKEN_FILE",
}

// serviceLink matches what Kubernetes sets in every container for a service
// named holdfast, or holdfast- and more:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLink = regexp.MustCompile(`^HOLDFAST(_[A-Z0-9_]+)?` +
	`(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// inherits names the variable whose value v takes while it is unset, if any.
func (v variable) inherits() (name string, ok bool) {
	return v.def, strings.HasPrefix(v.def, prefix)
}

// isSecret reports whether no output may show v's value.
func (v variable) isSecret() bool { return slices.Contains(secrets, v.name) }

// variableNamed is the line of the table with a name that is known to be there.
func variableNamed(name string) variable {
	return variables[slices.IndexFunc(variables, func(v variable) bool { return v.name == name })]
}

// plain is a meaning for a terminal.
func plain(meaning string) string {
	return strings.ReplaceAll(meaning, "`", "")
}

// Names are all names that a misspelt one may have been meant for.
func Names() []string {
	var names []string
	for _, v := range variables {
		names = append(names, v.name)
	}
	return append(names, unsupported...)
}
