package proxy_test

import (
	"strings"
	"testing"

	"holdfast/proxy"
)

func TestParseBalance(t *testing.T) {
	for text, want := range map[string]proxy.Balance{
		"least_sessions":           {By: proxy.LeastSessions},
		"round_robin":              {By: proxy.RoundRobin},
		"hash:ip":                  {By: proxy.HashIP},
		"hash:header:X-User":       {By: proxy.HashHeader, Name: "X-User"},
		"hash:header:cookie":       {By: proxy.HashHeader, Name: "cookie"},
		"hash:header:Origin":       {By: proxy.HashHeader, Name: "Origin"},
		"hash:header:hash:ip":      {}, // a colon is not part of a name
		"hash:header:x_user":       {By: proxy.HashHeader, Name: "x_user"},
		"hash:cookie:session":      {By: proxy.HashCookie, Name: "session"},
		"hash:cookie:__Host-S.id~": {By: proxy.HashCookie, Name: "__Host-S.id~"},
		"hash:cookie:Header:":      {},
	} {
		got, err := proxy.ParseBalance(text)
		if (err == nil) != (want != proxy.Balance{} || text == "least_sessions") || err == nil && got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// What is refused says what to write.
func TestParseBalanceRefuses(t *testing.T) {
	const (
		rules      = "must be least_sessions, round_robin, hash:ip, hash:header:NAME or hash:cookie:NAME"
		sticky     = `is not a rule; for clients that must come back to the same upstream write "hash:ip", "hash:header:NAME" or "hash:cookie:NAME"`
		what       = `does not say what is hashed; write "hash:ip", "hash:header:NAME" or "hash:cookie:NAME"`
		noField    = `names no field; write its name, like "hash:header:X-User"`
		badField   = `names no valid field; use letters, digits and hyphens, like "hash:header:X-User"`
		noCookie   = `names no cookie; write its name, like "hash:cookie:session"`
		badCookie  = `names no valid cookie; write its name alone, like "hash:cookie:session"`
		connection = "names a field that belongs to a single connection; name one that clients send with every request"
		handshake  = "names a field that belongs to a single handshake; name one that clients send with every request"
		own        = `names a field that the proxy states itself; name one that comes from the client, or write "hash:ip" for the client's address`
		nobodys    = "names a field that says nothing about the client; name one that clients send with every request"
	)
	for text, want := range map[string]string{
		"":                              rules,
		"random":                        rules,
		"hash:url":                      rules,
		"hash:ip:":                      rules,
		"hash:ip:x":                     rules,
		"Least_Sessions":                `is not a rule; write "least_sessions"`,
		"least-sessions":                `is not a rule; write "least_sessions"`,
		"round robin":                   `is not a rule; write "round_robin"`,
		"HASH:IP":                       `is not a rule; write "hash:ip"`,
		"least_conn":                    `is not a rule; write "least_sessions"`,
		"RoundRobin":                    `is not a rule; write "round_robin"`,
		"ip-hash":                       `is not a rule; write "hash:ip"`,
		"source":                        `is not a rule; write "hash:ip"`,
		"sticky":                        sticky,
		"Cookie":                        sticky,
		"hash":                          what,
		"Hash:":                         what,
		"hash:header":                   noField,
		"hash:header:":                  noField,
		"Hash:Header":                   noField,
		"Hash:Header:X-User":            `must begin with "hash:header:", in lower case`,
		"hash:Cookie:Session":           `must begin with "hash:cookie:", in lower case`,
		"hash:header:X User":            badField,
		"hash:header:X-Üser":            badField,
		"hash:header:X-User:":           badField,
		"hash:cookie":                   noCookie,
		"hash:cookie:":                  noCookie,
		"hash:cookie:a=b":               badCookie,
		"hash:cookie: a":                badCookie,
		"hash:header:connection":        connection,
		"hash:header:TE":                connection,
		"hash:header:Upgrade":           connection,
		"hash:header:Sec-WebSocket-Key": handshake,
		"hash:header:X-Forwarded-For":   own,
		"hash:header:x_real_ip":         own,
		"hash:header:Host":              own,
		"hash:header:CDN-Loop":          nobodys,
		"hash:header:Expect":            nobodys,
	} {
		if _, err := proxy.ParseBalance(text); err == nil || err.Error() != want {
			t.Errorf("%q: got  %v\nwant %s", text, err, want)
		}
	}
}

// FuzzParseBalance: a rule names something exactly if it hashes a field or a cookie, and the
// name is the rest of the text.
func FuzzParseBalance(f *testing.F) {
	for _, text := range []string{"least_sessions", "round_robin", "hash:ip", "hash:header:X-User", "hash:cookie:a", "hash:", "hash:header:", "HASH:IP", "hash:cookie:a b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := proxy.ParseBalance(text)
		switch {
		case err != nil:
			if message := err.Error(); message == "" || strings.ContainsAny(message, "\n\x00") || len(message) > 200 {
				t.Errorf("%q is refused with %q", text, message)
			}
			return
		case (b.Name != "") != (b.By == proxy.HashHeader || b.By == proxy.HashCookie):
			t.Errorf("%q is %+v", text, b)
		case !strings.HasSuffix(text, b.Name) || strings.ContainsAny(b.Name, " :;,="):
			t.Errorf("%q has the name %q", text, b.Name)
		}
	})
}
