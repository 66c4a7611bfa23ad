package config

import (
	"strconv"
	"strings"
)

// contradictions are values that are well formed and still cannot hold.
func (c Config) contradictions(s settings) (found Problems) {
	if c.TCPUserTimeout > maxUserTimeout {
		found = append(found, Problem{userTimeoutName, s[userTimeoutName], `is too long for the kernel; the longest is "596h"`})
	}
	if c.AdminListen != "" && string(c.AdminListen) == string(c.Listen) && !strings.HasSuffix(string(c.Listen), ":0") {
		found = append(found, Problem{"HOLDFAST_ADMIN_LISTEN", string(c.AdminListen), "is HOLDFAST_LISTEN too; they need an address each"})
	}
	if c.ProxyProtocol && s["HOLDFAST_TRUSTED_PROXIES"] == "" {
		found = append(found, Problem{"HOLDFAST_PROXY_PROTOCOL", "accept", "needs HOLDFAST_TRUSTED_PROXIES, since such a header is taken from those alone; set it"})
	}
	if c.TLSClientCAFile != "" && !c.hasServerTLS() {
		found = append(found, Problem{"HOLDFAST_TLS_CLIENT_CA_FILE", c.TLSClientCAFile, "needs HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE; set them, or unset it"})
	}
	found = append(found, c.needlessUpstreamTLS()...)
	if c.UpstreamTLSInsecure && c.UpstreamTLSCAFile != "" {
		found = append(found, Problem{"HOLDFAST_UPSTREAM_TLS_INSECURE", "true", "has no certificate checked, and HOLDFAST_UPSTREAM_TLS_CA_FILE says how to; unset one of them"})
	}
	return found
}

// Warnings are about settings that can hold and should not stay so.
func (c Config) Warnings() (found Problems) {
	found = c.userTimeoutWarning()
	if c.UpstreamTLSInsecure {
		found = append(found, Problem{"HOLDFAST_UPSTREAM_TLS_INSECURE", "true", "lets whoever stands between here and the upstream read and change everything; unset it where that matters"})
	}
	return found
}

// needlessUpstreamTLS are the settings that would mean that a plain upstream is
// not what was meant.
func (c Config) needlessUpstreamTLS() (found Problems) {
	if c.hasUpstreamTLS() || c.Upstream == nil || c.Upstream.Scheme == "" { // missing, or refused
		return nil
	}
	for _, p := range []Problem{
		{Variable: "HOLDFAST_UPSTREAM_TLS_CA_FILE", Value: c.UpstreamTLSCAFile},
		{Variable: "HOLDFAST_UPSTREAM_TLS_CERT_FILE", Value: c.UpstreamTLSCertFile},
		{Variable: "HOLDFAST_UPSTREAM_TLS_KEY_FILE", Value: c.UpstreamTLSKeyFile},
		{Variable: "HOLDFAST_UPSTREAM_TLS_SERVER_NAME", Value: string(c.UpstreamTLSServerName)},
		{Variable: "HOLDFAST_UPSTREAM_TLS_INSECURE", Value: strconv.FormatBool(c.UpstreamTLSInsecure)},
	} {
		if p.Value != "" && p.Value != "false" {
			p.Reason = "is of no use to an upstream without TLS; unset it, or make that wss:// or https://"
			found = append(found, p)
		}
	}
	return found
}
