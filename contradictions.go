package main

import (
	"strconv"
	"strings"
)

// contradictions are values that are well formed and still cannot hold.
func (c config) contradictions(s settings) (found problems) {
	if c.TCPUserTimeout > maxUserTimeout {
		found = append(found, problem{userTimeoutName, s[userTimeoutName], `is too long for the kernel; the longest is "596h"`})
	}
	if c.AdminListen != "" && string(c.AdminListen) == string(c.Listen) && !strings.HasSuffix(string(c.Listen), ":0") {
		found = append(found, problem{"HOLDFAST_ADMIN_LISTEN", string(c.AdminListen), "is HOLDFAST_LISTEN too; they need an address each"})
	}
	if c.ProxyProtocol && s["HOLDFAST_TRUSTED_PROXIES"] == "" {
		found = append(found, problem{"HOLDFAST_PROXY_PROTOCOL", "accept", "needs HOLDFAST_TRUSTED_PROXIES, since such a header is taken from those alone; set it"})
	}
	if c.TLSClientCAFile != "" && !c.hasServerTLS() {
		found = append(found, problem{"HOLDFAST_TLS_CLIENT_CA_FILE", c.TLSClientCAFile, "needs HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE; set them, or unset it"})
	}
	found = append(found, c.needlessUpstreamTLS()...)
	if c.UpstreamTLSInsecure && c.UpstreamTLSCAFile != "" {
		found = append(found, problem{"HOLDFAST_UPSTREAM_TLS_INSECURE", "true", "has no certificate checked, and HOLDFAST_UPSTREAM_TLS_CA_FILE says how to; unset one of them"})
	}
	return found
}

// warnings are about settings that can hold and should not stay so.
func (c config) warnings() (found problems) {
	found = c.userTimeoutWarning()
	if c.UpstreamTLSInsecure {
		found = append(found, problem{"HOLDFAST_UPSTREAM_TLS_INSECURE", "true", "lets whoever stands between here and the upstream read and change everything; unset it where that matters"})
	}
	return found
}

// needlessUpstreamTLS are the settings that would mean that a plain upstream is
// not what was meant.
func (c config) needlessUpstreamTLS() (found problems) {
	if c.hasUpstreamTLS() || c.Upstream == nil || c.Upstream.Scheme == "" { // missing, or refused
		return nil
	}
	for _, p := range []problem{
		{variable: "HOLDFAST_UPSTREAM_TLS_CA_FILE", value: c.UpstreamTLSCAFile},
		{variable: "HOLDFAST_UPSTREAM_TLS_CERT_FILE", value: c.UpstreamTLSCertFile},
		{variable: "HOLDFAST_UPSTREAM_TLS_KEY_FILE", value: c.UpstreamTLSKeyFile},
		{variable: "HOLDFAST_UPSTREAM_TLS_SERVER_NAME", value: string(c.UpstreamTLSServerName)},
		{variable: "HOLDFAST_UPSTREAM_TLS_INSECURE", value: strconv.FormatBool(c.UpstreamTLSInsecure)},
	} {
		if p.value != "" && p.value != "false" {
			p.reason = "is of no use to an upstream without TLS; unset it, or make that wss:// or https://"
			found = append(found, p)
		}
	}
	return found
}
