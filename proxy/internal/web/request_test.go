package web_test

import (
	"net/netip"
	"strings"
	"testing"

	"holdfast/proxy/internal/field"
	"holdfast/proxy/internal/forwarded"
	"holdfast/proxy/internal/upgrade"
	"holdfast/proxy/internal/web"
)

// told is what the upstream learns of where a request came from, beside
// X-Forwarded-Proto, which stands between other fields.
const told = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: service.example\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 192.0.2.1\r\n"

// last says that a connection to the upstream is for one request.
const last = "Connection: close\r\n"

const (
	host    = "Host: service.example\r\n"
	forward = "Forwarded: for=192.0.2.1;host=service.example;proto=http\r\n"
)

// noTrailers are names that are announced and may be in no trailer; Connection has
// named X-Hop.
var noTrailers = []string{
	"X-Hop", "Connection", "Keep-Alive", "Proxy-Authorization", "TE", "Upgrade", "Transfer_Encoding", // this hop's
	"Host", "Forwarded", "X_Forwarded_For", // where it goes, and whence it comes
	"Authorization", "Cookie", "Set-Cookie", "Origin", "Sec-WebSocket-Key", // who asks
	"Cache-Control", "Expect", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
	"Max-Forwards", "Pragma", "Range", // how to answer
	"Content-Encoding", "Content-Range", "Content-Type", // how to read it
}

// TestRequestGoesUpstream: raw bytes in, exact bytes out.
func TestRequestGoesUpstream(t *testing.T) {
	t.Parallel()
	tests := []struct{ why, in, out string }{{
		"nothing is added but where it came from",
		"GET /a HTTP/1.1\r\n" + host + "\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"the target passes byte for byte",
		"GET /a%2Fb//c;x=1/../d|{e}?q=%zz;b&&c=^d HTTP/1.1\r\n" + host + "\r\n",
		"GET /a%2Fb//c;x=1/../d|{e}?q=%zz;b&&c=^d HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"a question mark without a query",
		"GET /? HTTP/1.1\r\n" + host + "\r\n",
		"GET /? HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"two slashes begin a path and no authority",
		"GET //evil.example/a%2Fb?c=//d HTTP/1.1\r\n" + host + "\r\n",
		"GET //evil.example/a%2Fb?c=//d HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"two slashes, and a question mark without a query",
		"GET //a? HTTP/1.1\r\n" + host + "\r\n",
		"GET //a? HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"UTF-8 that is not encoded, as curl sends it",
		"GET /caf\u00e9?\xff HTTP/1.1\r\n" + host + "\r\n",
		"GET /caf\u00e9?\xff HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"two slashes, and what no URI has",
		"GET //a|b\u00e9?c|d HTTP/1.1\r\n" + host + "\r\n",
		"GET //a|b\u00e9?c|d HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"two slashes, and a method and a body that fill more than one write",
		strings.Repeat("M", 5000) + " //a HTTP/1.1\r\n" + host + "Content-Length: 9000\r\n\r\n" + strings.Repeat("b", 9000),
		strings.Repeat("M", 5000) + " //a HTTP/1.1\r\n" + host + "Content-Length: 9000\r\n" + forward + told + last + "\r\n" + strings.Repeat("b", 9000),
	}, {
		"two slashes, and no Host",
		"GET //a HTTP/1.0\r\n\r\n",
		"GET //a HTTP/1.1\r\nHost: upstream.example:80\r\nForwarded: for=192.0.2.1;proto=http\r\n" +
			"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 192.0.2.1\r\n" + last + "\r\n",
	}, {
		"a zone in Host",
		"GET /a HTTP/1.1\r\nHost: [fe80::1%25eth0]:80\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: [fe80::1%25eth0]:80\r\nForwarded: for=192.0.2.1;host=\"[fe80::1%25eth0]:80\";proto=http\r\n" +
			"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: [fe80::1%25eth0]:80\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 192.0.2.1\r\n" + last + "\r\n",
	}, {
		"absolute-form becomes origin-form, and its authority stands above Host (RFC 9112 3.2.2)",
		"GET http://service.example/a?b HTTP/1.1\r\nHost: other.example\r\n\r\n",
		"GET /a?b HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"absolute-form without a path",
		"GET http://service.example?b HTTP/1.1\r\n" + host + "\r\n",
		"GET /?b HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"OPTIONS of the server as a whole",
		"OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
		"OPTIONS * HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"any method",
		"BREW /pot HTTP/1.1\r\n" + host + "\r\n",
		"BREW /pot HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"HTTP/1.0 may have no Host",
		"GET /a HTTP/1.0\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: upstream.example:80\r\nForwarded: for=192.0.2.1;proto=http\r\n" +
			"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 192.0.2.1\r\n" + last + "\r\n",
	}, {
		"fields that are nobody else's business",
		"GET /a HTTP/1.1\r\n" + host + "User-Agent: test\r\nAccept-Encoding: br\r\nCookie: a=1\r\nX-B: 1\r\nX-B: 2\r\nAuthorization: Bearer x\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + "User-Agent: test\r\nAccept-Encoding: br\r\nAuthorization: Bearer x\r\nCookie: a=1\r\n" +
			forward + "X-B: 1\r\nX-B: 2\r\n" + told + last + "\r\n",
	}, {
		"a body with a length",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n" + forward + told + last + "\r\nhello",
	}, {
		"an empty body",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 0\r\n" + forward + told + last + "\r\n",
	}, {
		"chunks and a trailer; what no field may say, no trailer may",
		"POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum, X-Forwarded-For\r\n\r\n" +
			"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Unannounced: 1\r\n\r\n",
		"POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n" + forward + told + last + "\r\n" +
			"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
	}, {
		"what no trailer may say (RFC 9110 6.5.1)",
		"POST /a HTTP/1.1\r\n" + host + "Connection: close, X-Hop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTrailer: " + strings.Join(noTrailers, ", ") + "\r\n\r\n" +
			"0\r\nX-Sum: 1\r\n" + strings.Join(noTrailers, ": x\r\n") + ": x\r\n\r\n",
		"POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n" + forward + told + last + "\r\n0\r\nX-Sum: 1\r\n\r\n",
	}, {
		"very many fields",
		"GET /a HTTP/1.1\r\n" + host + strings.Repeat("X-A: b\r\n", 1000) + "\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + strings.Repeat("X-A: b\r\n", 1000) + told + last + "\r\n",
	}, {
		"a GET may have a body",
		"GET /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello",
		"GET /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n" + forward + told + last + "\r\nhello",
	}, {
		"hop by hop",
		"GET /a HTTP/1.1\r\n" + host + "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n" +
			"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"TE: trailers, which is kept",
		"GET /a HTTP/1.1\r\n" + host + "Connection: TE\r\nTE: trailers\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + "Te: trailers\r\n" + told + last + "\r\n",
	}, {
		"a handshake's fields mean nothing without Upgrade",
		"GET /a HTTP/1.1\r\n" + host + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + "Sec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n" + told + last + "\r\n",
	}, {
		"Connection cannot take away what is ours to say",
		"GET /a HTTP/1.1\r\n" + host + "Connection: close, X-Forwarded-For, X-Forwarded-Proto, Forwarded, Host\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"h2c ends here",
		"GET /a HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"h2c ends here, whatever Connection says",
		"GET /a HTTP/1.1\r\n" + host + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"an Upgrade that is not a token",
		"GET /a HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: \xff\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"what a stranger says of others",
		"GET /a HTTP/1.1\r\n" + host + "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n" +
			"X-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /x\r\nForwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"Proxy, of which CGI makes HTTP_PROXY",
		"GET /a HTTP/1.1\r\n" + host + "Proxy: http://evil.example\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + last + "\r\n",
	}, {
		"names that CGI cannot tell from ours",
		"GET /a HTTP/1.1\r\n" + host + "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\nx_forwarded_port: 443\r\n" +
			"Transfer_Encoding: chunked\r\nContent_Length: 5\r\nHTTP2_Settings: x\r\nKeep_Alive: x\r\nX_Real_IP: 6.6.6.6\r\nX_Other: 1\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + told + "X_Other: 1\r\n" + last + "\r\n",
	}, {
		"both framings: net/http goes by the chunks, and the upstream is told of nothing else (RFC 9112 6.1)",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n" + forward + told + last + "\r\n5\r\nhello\r\n0\r\n\r\n",
	}, {
		"one length twice is one length (RFC 9112 6.3)",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n" + forward + told + last + "\r\nhello",
	}, {
		"a folded field is unfolded (RFC 9112 5.2)",
		"GET /a HTTP/1.1\r\n" + host + "X-A: b\r\n c\r\n\r\n",
		"GET /a HTTP/1.1\r\n" + host + forward + "X-A: b c\r\n" + told + last + "\r\n",
	}, {
		"a bare LF goes on as CRLF",
		"GET /a HTTP/1.1\nHost: service.example\nX-A: b\n\n",
		"GET /a HTTP/1.1\r\n" + host + forward + "X-A: b\r\n" + told + last + "\r\n",
	}}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.opens(test.in)
			upstream := r.accepts()
			upstream.wants(test.why, test.out)
			upstream.sends("HTTP/1.1 204 No Content\r\n\r\n")
			client.wantsAnswer("the upstream answered", 204)
			client.hangsUp()
			upstream.hangsUp()
			r.wantsCounted(204)
		})
	}
}

// TestRequestIsReadAlikeHoweverItComes: what was read before the connection was
// given away is a matter of chance.
func TestRequestIsReadAlikeHoweverItComes(t *testing.T) {
	t.Parallel()
	const in = "POST /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello"
	for split := 0; split <= len(in); split += 7 {
		r := newRig(t, nil)
		client := r.opens(in[:split])
		client.sends(in[split:])
		r.accepts().wants("the request is the same", "POST /a HTTP/1.1\r\n"+host+"Content-Length: 5\r\n"+forward+told+last+"\r\nhello")
		client.hangsUp()
	}
}

func TestUpstreamPrefixHostAndFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, out string }{
		{"GET /a%2F?b", "GET /legacy%2F/app/a%2F?b"},
		{"GET //a", "GET /legacy%2F/app//a"},
		{"GET /", "GET /legacy%2F/app"},
		{"GET /?b", "GET /legacy%2F/app?b"},
		{"OPTIONS *", "OPTIONS *"}, // it has no path to be prefixed
	} {
		r := newRig(t, func(cfg *config) {
			cfg.upstream.Prefix = "/legacy%2F/app"
			cfg.origin.Host = "inside.example"
			cfg.Fields = field.Fields{{Name: "X-Secret", Value: "s3cret"}}
		})
		client := r.opens(test.in + " HTTP/1.1\r\n" + host + "Connection: X-Secret\r\nX-Secret: x\r\nx_secret: y\r\nX-SECRET: z\r\n\r\n")
		r.accepts().wants("the operator's word stands", test.out+" HTTP/1.1\r\nHost: inside.example\r\n"+forward+told+"X-Secret: s3cret\r\n"+last+"\r\n")
		client.hangsUp()
	}
}

// Each request is asked where it goes, also when several come on one connection.
func TestEachRequestHasItsUpstream(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *config) {
		cfg.Upstream = func(r *upgrade.Request, _ netip.Addr) web.Upstream {
			to := cfg.upstream
			to.Prefix = "/for" + strings.ReplaceAll(r.Path(), "/", "-")
			return to
		}
	})
	client := r.opens("GET /a HTTP/1.1\r\n" + host + "\r\n")
	upstream := r.accepts()
	upstream.wants("the first", "GET /for-a/a HTTP/1.1\r\n"+host+forward+told+last+"\r\n")
	upstream.sends("HTTP/1.1 204 No Content\r\n\r\n")
	client.wantsAnswer("the first", 204)
	client.sends("GET /b HTTP/1.1\r\n" + host + "\r\n")
	r.accepts().wants("the second", "GET /for-b/b HTTP/1.1\r\n"+host+forward+told+last+"\r\n")
	client.hangsUp()
}

func TestTrustedPeerIsBelieved(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *config) {
		cfg.Trust = &forwarded.Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	})
	client := r.opens("GET /a HTTP/1.1\r\n" + host + "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Port: 443\r\n" +
		"X_Forwarded_Port: 1\r\nX-Forwarded-Client_Ip: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
	head := r.accepts().wantsHead()
	for _, want := range []string{"X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n", "X-Forwarded-Port: 443\r\n", "X-Real-IP: 203.0.113.9\r\n"} {
		if strings.Count(head, want) != 1 {
			t.Errorf("the upstream wants %q once, got %q", want, head)
		}
	}
	for _, bad := range []string{"6.6.6.6", "_"} {
		if strings.Contains(head, bad) {
			t.Errorf("the upstream was told %q by somebody behind the trusted peer: %q", bad, head)
		}
	}
	client.hangsUp()
}

func TestClientOverTLSOrAUnixSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens("GET /a HTTP/1.1\r\n"+host+"\r\n", func(g *web.Guest) {
		g.From, g.TLS = netip.AddrPort{}, true
	})
	head := r.accepts().wantsHead()
	if !strings.Contains(head, "X-Forwarded-Proto: https\r\n") || strings.Contains(head, "X-Forwarded-For") || strings.Contains(head, "X-Real-IP") {
		t.Errorf("TLS is told, and an address that is not there is not: %q", head)
	}
	client.hangsUp()
}

// TestRequestIsRefused: what must not reach the upstream does not. A request that
// follows would show if the refused one's end was misread.
func TestRequestIsRefused(t *testing.T) {
	t.Parallel()
	const smuggled = "GET /smuggled HTTP/1.1\r\n" + host + "\r\n"
	get := func(fields string) string { return "GET /a HTTP/1.1\r\n" + host + fields + "\r\n" }
	tests := []struct {
		why, in string
		status  int
	}{
		{"TRACE would show the client what was added", "TRACE /a HTTP/1.1\r\n" + host + "\r\n", 405},
		{"trace, if the upstream knows no case", "trace /a HTTP/1.1\r\n" + host + "\r\n", 405},
		{"CONNECT is for forward proxies", "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", 405},
		{"two lengths", get("Content-Length: 5\r\nContent-Length: 6\r\n") + "hello", 400},
		{"a list of lengths", get("Content-Length: 5, 6\r\n") + "hello", 400},
		{"a length with a sign", get("Content-Length: +5\r\n") + "hello", 400},
		{"another coding", get("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", 501},
		{"a coding in disguise", get("Transfer-Encoding: \x0bchunked\r\n") + "0\r\n\r\n", 400},
		{"two codings", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 501},
		{"white space before the colon", get("Content-Length : 5\r\n") + "hello", 400},
		{"NUL", get("X-A: b\x00\r\n"), 400},
		{"no Host", "GET /a HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", get(host), 400},
		{"a list of hosts", "GET /a HTTP/1.1\r\nHost: service.example,evil.example\r\n\r\n", 400},
		{"a fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a control character in the target", "GET /\x7f HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a zone with a space", "GET /a HTTP/1.1\r\nHost: [fe80::1%a b]\r\n\r\n", 400},
		{"a malformed percent-encoding", "GET /%2 HTTP/1.1\r\n" + host + "\r\n", 400},
		{"no path", "GET a HTTP/1.1\r\n" + host + "\r\n", 400},
		{"an asterisk that is no OPTIONS", "GET * HTTP/1.1\r\n" + host + "\r\n", 400},
		{"userinfo", "GET http://service.example@evil.example/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"another scheme", "GET ftp://service.example/a HTTP/1.1\r\n" + host + "\r\n", 400},
		{"another version", "GET /a HTTP/1.2\r\n" + host + "\r\n", 505},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"an expectation that cannot be met", get("Expect: tea\r\n"), 417},
		{"fields beyond the size of a head", get(strings.Repeat("X-A: b\r\n", 5000)), 431},
		{"a head that is too large", get("X-A: " + strings.Repeat("b", 64<<10) + "\r\n"), 431},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client := r.opens(test.in + smuggled)
			answer, _ := client.wantsAnswer(test.why, test.status)
			if _, there := answer.Header["Allow"]; there != (test.status == 405) {
				t.Errorf("Allow is for 405 (RFC 9110 15.5.6): %v", answer.Header)
			}
			if !answer.Close {
				t.Errorf("a refused request is the last, but the answer does not say so")
			}
			client.hangsUp()
			r.shutdown(patience)
			r.wantsNoDials()
		})
	}
}
