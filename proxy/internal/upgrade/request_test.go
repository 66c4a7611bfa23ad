package upgrade

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	const ok = 0
	host := "Host: a.example\r\n"
	tests := []struct {
		why, in string
		want    int // the refusal's status
	}{
		{"smallest", "GET / HTTP/1.1\r\n" + host + "\r\n", ok},
		{"one leading empty line", "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", ok},
		{"an empty head", "\r\n\r\n", 400},
		{"any method; Check judges it", "BREW / HTTP/1.1\r\n" + host + "\r\n", ok},
		{"obs-text in a value", "GET / HTTP/1.1\r\n" + host + "A: \xff\u00e9\r\n\r\n", ok},
		{"tab inside a value", "GET / HTTP/1.1\r\n" + host + "A: b\tc\r\n\r\n", ok},
		{"an empty value", "GET / HTTP/1.1\r\n" + host + "A:\r\n\r\n", ok},

		{"bare LF after the request line", "GET / HTTP/1.1\n" + host + "\r\n", 400},
		{"bare LF after a field", "GET / HTTP/1.1\r\n" + host + "A: b\nC: d\r\n\r\n", 400},
		{"bare LF for the blank line", "GET / HTTP/1.1\r\n" + host + "\n", 400},
		{"bare CR in a value", "GET / HTTP/1.1\r\n" + host + "A: b\rC: d\r\n\r\n", 400},
		{"bare CR before CRLF", "GET / HTTP/1.1\r\n" + host + "A: b\r\r\n\r\n", 400},
		{"bare CR as a line", "GET / HTTP/1.1\r\n" + host + "\r\r\n\r\n", 400},
		{"bare CR in the request line", "GET /\r HTTP/1.1\r\n" + host + "\r\n", 400},
		{"no blank line", "GET / HTTP/1.1\r\n" + host, 400},
		{"a line without its end", "GET / HTTP/1.1\r\n" + host + "A: b", 400},
		{"bytes after the blank line", "GET / HTTP/1.1\r\n" + host + "\r\nGET", 400},

		{"obs-fold", "GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", 400},
		{"obs-fold hiding a coding", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n\tchunked\r\n\r\n", 400},
		{"space before the first field", "GET / HTTP/1.1\r\n " + host + "\r\n", 400},
		{"space before the colon", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n", 400},
		{"tab before the colon", "GET / HTTP/1.1\r\n" + host + "Content-Length\t: 5\r\n\r\n", 400},
		{"no colon", "GET / HTTP/1.1\r\n" + host + "A\r\n\r\n", 400},
		{"no name", "GET / HTTP/1.1\r\n" + host + ": b\r\n\r\n", 400},
		{"a name that is not a token", "GET / HTTP/1.1\r\n" + host + "A(: b\r\n\r\n", 400},
		{"obs-text in a name", "GET / HTTP/1.1\r\n" + host + "\xc3: b\r\n\r\n", 400},
		{"NUL in a name", "GET / HTTP/1.1\r\n" + host + "A\x00: b\r\n\r\n", 400},
		{"NUL in a value", "GET / HTTP/1.1\r\n" + host + "A: b\x00\r\n\r\n", 400},
		{"DEL in a value", "GET / HTTP/1.1\r\n" + host + "A: b\x7f\r\n\r\n", 400},
		{"vertical tab before a coding", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n", 400},
		{"very many fields", "GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 5000) + "\r\n", ok},

		{"HTTP/0.9", "GET /\r\n\r\n", 400},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n" + host + "\r\n", ok},
		{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", 505},
		{"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\n", 505},
		{"a version in lower case", "GET / http/1.1\r\n" + host + "\r\n", 400},
		{"a version of two digits", "GET / HTTP/1.11\r\n" + host + "\r\n", 400},
		{"another protocol", "GET / ICAP/1.1\r\n" + host + "\r\n", 400},
		{"two spaces before the target", "GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"two spaces before the version", "GET /  HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", 400},
		{"a tab for a space", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a method that is not a token", "G@T / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"no method", " / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"no target", "GET  HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a space before the method", " GET / HTTP/1.1\r\n" + host + "\r\n", 400},

		{"CONNECT", "CONNECT a.example:443 HTTP/1.1\r\n" + host + "\r\n", 405},
		{"CONNECT to a path", "CONNECT / HTTP/1.1\r\n" + host + "\r\n", 405},
		{"CONNECT for those who know no case", "connect / HTTP/1.0\r\n" + host + "\r\n", 405},

		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", ok},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" + host + host + "\r\n", 400},
		{"a Host of nothing in HTTP/1.0", "GET / HTTP/1.0\r\nHost:\r\n\r\n", 400},
		{"two Hosts", "GET / HTTP/1.1\r\n" + host + "host: a.example\r\n\r\n", 400},
		{"a Host of nothing", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
		{"a Host with a path", "GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n", 400},

		{"one Content-Length", "GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n", ok},
		{"two alike", "GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
		{"two in one", "GET / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\n", 400},
		{"a signed length", "GET / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\n", 400},
		{"a hexadecimal length", "GET / HTTP/1.1\r\n" + host + "Content-Length: 0x5\r\n\r\n", 400},
		{"an empty length", "GET / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", 400},
		{"a length that fits 64 bits", "GET / HTTP/1.1\r\n" + host + "Content-Length: 999999999999999999\r\n\r\n", ok},
		{"a length that may not", "GET / HTTP/1.1\r\n" + host + "Content-Length: 18446744073709551621\r\n\r\n", 400},
		{"a length in HTTP/1.0", "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", ok},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"chunked", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n\r\n", ok},
		{"TE.CL, CL.TE", "GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"TE.TE", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 400},
		{"an unknown coding", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n", 501},
		{"a coding after chunked", "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			_, refusal := ParseRequest([]byte(tt.in))
			wantStatus(t, refusal, tt.want)
		})
	}
}

// wantStatus checks a refusal's status; 0 means that there is none.
func wantStatus(t *testing.T, refusal *Refusal, want int) {
	t.Helper()
	switch {
	case refusal == nil && want != 0:
		t.Errorf("accepted, want %d", want)
	case refusal != nil && refusal.Status != want:
		t.Errorf("refused with %d %q, want %d", refusal.Status, refusal.Reason, want)
	}
}

func TestTargets(t *testing.T) {
	const refused = ""
	tests := []struct{ why, in, target, host string }{
		{"origin-form", "/chat?token=a%20b&c=d/?e", "/chat?token=a%20b&c=d/?e", "h.example"},
		{"left as it is", "//a/./../b;c=d|\"<>", "//a/./../b;c=d|\"<>", "h.example"},
		{"what is encoded stays encoded", "/a%0d%0aX:%20y%00%2f..", "/a%0d%0aX:%20y%00%2f..", "h.example"},
		{"a lone % in a query is widespread", "/?100%", "/?100%", "h.example"},
		{"absolute-form stands above Host", "http://a.example:80/b?c", "/b?c", "a.example:80"},
		{"ws scheme, any case", "WS://a.example/b", "/b", "a.example"},
		{"https", "https://a.example/", "/", "a.example"},
		{"no path", "http://a.example", "/", "a.example"},
		{"no path but a query", "wss://a.example?b=/c", "/?b=/c", "a.example"},
		{"another scheme", "ftp://a.example/", refused, ""},
		{"absolute-form without a host", "http:///b", refused, ""},
		{"userinfo", "http://user@a.example/", refused, ""},
		{"asterisk-form is for OPTIONS", "*", refused, ""},
		{"authority-form", "a.example:443", refused, ""},
		{"relative", "chat", refused, ""},
		{"fragment", "/a#b", refused, ""},
		{"control character", "/a\x01", refused, ""},
		{"NUL", "/a\x00", refused, ""},
		{"DEL", "/a\x7f", refused, ""},
		{"UTF-8 that is not encoded", "/caf\u00e9/\xff?\xc3\xa9=\x80", "/caf\u00e9/\xff?\xc3\xa9=\x80", "h.example"},
		{"absolute-form with UTF-8", "http://a.example/\u00e9", "/\u00e9", "a.example"},
		{"absolute-form with a zone", "http://[fe80::1%25eth0]:80/b", "/b", "[fe80::1%25eth0]:80"},
		{"an authority with UTF-8", "http://\u00e9.example/", refused, ""},
		{"CRLF", "/a\r\nX: y", refused, ""},
		{"a lone % in the path", "/100%", refused, ""},
		{"no hexadecimal digits", "/%zz", refused, ""},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			r, refusal := ParseRequest(fmt.Appendf(nil, "GET %s HTTP/1.1\r\nhost: h.example\r\n\r\n", tt.in))
			if tt.target == refused {
				wantStatus(t, refusal, 400)
				return
			}
			if refusal != nil {
				t.Fatalf("refused: %s", refusal.Reason)
			}
			if r.Target != tt.target {
				t.Errorf("target %q, want %q", r.Target, tt.target)
			}
			if got := r.Fields.Get("Host"); got != tt.host {
				t.Errorf("Host %q, want %q", got, tt.host)
			}
		})
	}
}

func TestTargetsOfOptions(t *testing.T) {
	for in, want := range map[string]string{
		"*":                    "*",
		"/a":                   "/a",
		"http://h.example":     "*", // RFC 9112 3.2.4
		"http://h.example/":    "/",
		"http://h.example?a=b": "/?a=b",
	} {
		r := mustParse(t, "OPTIONS "+in+" HTTP/1.1\r\nHost: h.example\r\n\r\n")
		if r.Target != want {
			t.Errorf("the target of OPTIONS %s is %q, want %q", in, r.Target, want)
		}
	}
}

func TestHTTP10(t *testing.T) {
	r := mustParse(t, "GET http://h.example/a HTTP/1.0\r\nA: b\r\n\r\n")
	if r.Minor != 0 || r.Target != "/a" || r.Fields.Count("Host") != 1 || r.Fields.Get("Host") != "h.example" {
		t.Errorf("parsed as %+v; the target's authority is to be the Host", r)
	}
	if r := mustParse(t, handshake()); r.Minor != 1 {
		t.Errorf("HTTP/1.1 is parsed as HTTP/1.%d", r.Minor)
	}
}

func TestWantsWebSocket(t *testing.T) {
	tests := []struct {
		why, head string
		want      bool
	}{
		{"a handshake", handshake(), true},
		{"any case, among others", handshake("Upgrade=UPGRADE: h2c, WebSocket\r\n"), true},
		{"in a second line", handshake("Upgrade=Upgrade: h2c\r\nupgrade: websocket\r\n"), true},
		{"a wrong version is still an attempt", handshake("Sec-WebSocket-Version=Sec-WebSocket-Version: 777\r\n"), true},
		{"so is one without Connection", handshake("Connection="), true},
		{"so is one in HTTP/1.0", strings.Replace(handshake(), "HTTP/1.1", "HTTP/1.0", 1), true},
		{"so is one by POST", strings.Replace(handshake(), "GET", "POST", 1), true},
		{"no Upgrade, whatever else", handshake("Upgrade="), false},
		{"an empty Upgrade", handshake("Upgrade=Upgrade:\r\n"), false},
		{"h2c", handshake("Upgrade=Upgrade: h2c\r\n"), false},
		{"another name", handshake("Upgrade=Upgrade: websocket2\r\n"), false},
		{"an alias of the field", handshake("Upgrade=Upgrade_: websocket\r\n"), false},
	}
	for _, tt := range tests {
		if got := mustParse(t, tt.head).WantsWebSocket(); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.why, got, tt.want)
		}
	}
}

func TestOrigin(t *testing.T) {
	for fields, want := range map[string]string{"": "", "X=oRIGIN: https://a.example\r\n": "https://a.example", "X=Origin: null\r\n": "null", "X=Origin:\r\n": ""} {
		if got, there := mustParse(t, handshake(fields)).Origin(); got != want || there != (fields != "") {
			t.Errorf("the origin of a request with %q is %q, there: %t; want %q", fields, got, there, want)
		}
	}
}

func TestZonePassesAsItCame(t *testing.T) {
	for _, host := range []string{"[fe80::1%eth0]", "[fe80::1%25eth0]:8080"} {
		if got := string(mustOffer(t, handshake("Host=Host: "+host+"\r\n")).AppendRequest(nil, Via{})); !strings.Contains(got, "\r\nHost: "+host+"\r\n") {
			t.Errorf("the Host %q becomes\n%s", host, got)
		}
	}
}

func TestLoggedPath(t *testing.T) {
	long := strings.Repeat("a", 255)
	for target, want := range map[string]string{
		"/a/b":                     "/a/b",
		"/a?token=b":               "/a",
		"/caf\u00e9/\xff\"?\u00e9": "/caf%C3%A9/%FF\"",
		"/" + long + "?b":          "/" + long,
		"/" + long + "b":           "/" + long + "…",
		"/" + long[1:] + "\u00e9":  "/" + long[1:] + "%C3…",
	} {
		if got := (&Request{Target: target}).LoggedPath(); got != want {
			t.Errorf("%q is logged as %q, want %q", target, got, want)
		}
	}
}

func TestPathHasNoQuery(t *testing.T) {
	for target, want := range map[string]string{"/a/b": "/a/b", "/a?token=b": "/a", "/?a?b": "/"} {
		r := Request{Target: target}
		if got := r.Path(); got != want {
			t.Errorf("path of %q is %q, want %q", target, got, want)
		}
	}
}
