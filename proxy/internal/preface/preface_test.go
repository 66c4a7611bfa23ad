package preface

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// Parts of version 2 headers.
const (
	ipv4 = "\xcb\x00\x71\x07" + "\xc0\x00\x02\x01" + "\x12\x34" + "\x01\xbb" // 203.0.113.7:4660 to 192.0.2.1:443
	ipv6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x12\x34" + "\x01\xbb"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x07" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x12\x34" + "\x01\xbb"
)

var unixNames = "/run/client" + strings.Repeat("\x00", 97) + "/run/server" + strings.Repeat("\x00", 97)

const longIPv6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

// binaryHeader is a version 2 header with its two bytes of what it is, and what
// follows its length.
func binaryHeader(kind, rest string) string {
	return binarySignature + kind + string([]byte{byte(len(rest) >> 8), byte(len(rest))}) + rest
}

var (
	errAny = errors.New("any error")
	whole  error // the header may go on to Source
)

// headers are byte for byte what a proxy may send.
var headers = []struct {
	why, bytes string
	end        error  // End's verdict
	source     string // Source's; none if empty
	err        error  // Source's; errAny if it is the library's
}{
	{"IPv4", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\r\n", whole, "203.0.113.7:4660", nil},
	{"IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4660 443\r\n", whole, "[2001:db8::7]:4660", nil},
	{"the specification's example", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", whole, "192.168.0.1:56324", nil},
	{"the longest of IPv4", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", whole, "255.255.255.255:65535", nil},
	{"the longest of IPv6", "PROXY TCP6 " + longIPv6 + " " + longIPv6 + " 65535 65535\r\n", whole, "[" + longIPv6 + "]:65535", nil},
	{"hexadecimal digits of both cases", "PROXY TCP6 2001:DB8::aB ::1 1 2\r\n", whole, "[2001:db8::ab]:1", nil},
	{"IPv6 in full", "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0007 ::1 1 2\r\n", whole, "[2001:db8::7]:1", nil},
	{"IPv4-mapped", "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 4660 443\r\n", whole, "203.0.113.7:4660", nil},
	{"IPv4-mapped, in hexadecimal", "PROXY TCP6 ::ffff:cb00:7107 ::1 4660 443\r\n", whole, "203.0.113.7:4660", nil},
	{"port 0", "PROXY TCP4 203.0.113.7 192.0.2.1 0 0\r\n", whole, "203.0.113.7:0", nil},
	{"unknown, short", "PROXY UNKNOWN\r\n", whole, "", nil},
	{"unknown, with addresses", "PROXY UNKNOWN 203.0.113.7 192.0.2.1 4660 443\r\n", whole, "", nil},
	{"unknown, with what is to be ignored", "PROXY UNKNOWN \x00\xff  TCP4\r\n", whole, "", nil},
	{"unknown, as long as may be", "PROXY UNKNOWN " + longIPv6 + " " + longIPv6 + " 65535 65535\r\n", whole, "", nil},

	{"one byte longer", "PROXY UNKNOWN " + longIPv6 + " " + longIPv6 + " 65535 655350\r\n", errLineLength, "", nil},
	{"a line without end", "PROXY TCP4 " + strings.Repeat("1", 100), errLineLength, "", nil},
	{"a bare LF", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\n", errLineEnd, "", nil},
	{"a bare CR", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\rG", errLineEnd, "", nil},
	{"CR CR LF", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\r\r\n", errLineEnd, "", nil},
	{"a bare LF inside what is ignored", "PROXY UNKNOWN a\nb\r\n", errLineEnd, "", nil},
	{"a bare CR inside what is ignored", "PROXY UNKNOWN a\rb\r\n", errLineEnd, "", nil},
	{"unknown and a bare LF", "PROXY UNKNOWN\n", errTransport, "", nil},
	{"unknown and a bare CR", "PROXY UNKNOWN\rG", errLineEnd, "", nil},
	{"a longer word than unknown", "PROXY UNKNOWNS\r\n", errTransport, "", nil},
	{"another transport", "PROXY UDP4 203.0.113.7 192.0.2.1 4660 443\r\n", errTransport, "", nil},
	{"another family", "PROXY TCP5 203.0.113.7 192.0.2.1 4660 443\r\n", errTransport, "", nil},
	{"a transport in lower case", "PROXY tcp4 203.0.113.7 192.0.2.1 4660 443\r\n", errTransport, "", nil},
	{"two spaces before the transport", "PROXY  TCP4 203.0.113.7 192.0.2.1 4660 443\r\n", errTransport, "", nil},
	{"a tab before the transport", "PROXY\tTCP4 203.0.113.7 192.0.2.1 4660 443\r\n", errTransport, "", nil},
	{"nothing but the signature", "PROXY\r\n", errTransport, "", nil},
	{"a longer signature", "PROXYING TCP4 203.0.113.7 192.0.2.1 4660 443\r\n", errTransport, "", nil},
	{"no addresses", "PROXY TCP4\r\n", errTransport, "", nil},

	{"two spaces before the source", "PROXY TCP4  203.0.113.7 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"two spaces between the addresses", "PROXY TCP4 203.0.113.7  192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"a tab between the addresses", "PROXY TCP4 203.0.113.7\t192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"a space at the end", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443 \r\n", whole, "", errAny},
	{"a word at the end", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443 x\r\n", whole, "", errAny},
	{"a port too few", "PROXY TCP4 203.0.113.7 192.0.2.1 4660\r\n", whole, "", errAny},
	{"NUL at the end", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\x00\r\n", whole, "", errAny},
	{"an IPv6 source for IPv4", "PROXY TCP4 2001:db8::7 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"an IPv4-mapped source for IPv4", "PROXY TCP4 ::ffff:203.0.113.7 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"an IPv6 destination for IPv4", "PROXY TCP4 203.0.113.7 2001:db8::1 4660 443\r\n", whole, "", errAny},
	{"an IPv4 source for IPv6", "PROXY TCP6 203.0.113.7 2001:db8::1 4660 443\r\n", whole, "", errAny},
	{"an IPv4 destination for IPv6", "PROXY TCP6 2001:db8::7 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"a leading zero in an address", "PROXY TCP4 203.0.113.07 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"an octet too large", "PROXY TCP4 203.0.113.256 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"an octet too few", "PROXY TCP4 203.0.113 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"a zone", "PROXY TCP6 fe80::7%eth0 fe80::1 4660 443\r\n", whole, "", errAny},
	{"brackets", "PROXY TCP6 [2001:db8::7] [2001:db8::1] 4660 443\r\n", whole, "", errAny},
	{"five digits in a group", "PROXY TCP6 2001:db8::00007 ::1 4660 443\r\n", whole, "", errAny},
	{"a name", "PROXY TCP4 localhost 192.0.2.1 4660 443\r\n", whole, "", errAny},
	{"a leading zero in the source port", "PROXY TCP4 203.0.113.7 192.0.2.1 04660 443\r\n", whole, "", errAny},
	{"a leading zero in the destination port", "PROXY TCP4 203.0.113.7 192.0.2.1 4660 00\r\n", whole, "", errAny},
	{"a port too large", "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n", whole, "", errAny},
	{"a sign before a port", "PROXY TCP4 203.0.113.7 192.0.2.1 +4660 443\r\n", whole, "", errAny},

	{"binary IPv4", binaryHeader("\x21\x11", ipv4), whole, "203.0.113.7:4660", nil},
	{"binary IPv6", binaryHeader("\x21\x21", ipv6), whole, "[2001:db8::7]:4660", nil},
	{"binary IPv4-mapped", binaryHeader("\x21\x21", mapped), whole, "203.0.113.7:4660", nil},
	{"binary unix", binaryHeader("\x21\x31", unixNames), whole, "", nil},
	{"binary unspecified", binaryHeader("\x21\x00", ""), whole, "", nil},
	{"binary unspecified, with addresses", binaryHeader("\x21\x00", ipv4), whole, "", nil},
	{"local", binaryHeader("\x20\x00", ""), whole, "", nil},
	{"local, with addresses", binaryHeader("\x20\x11", ipv4), whole, "", nil},
	{"local, with a family but no addresses", binaryHeader("\x20\x11", ""), whole, "", nil},
	{"local, of a family that there is not", binaryHeader("\x20\xff", "abc"), whole, "", nil},
	{"local, with broken TLVs", binaryHeader("\x20\x11", ipv4+"\x04"), whole, "", nil},
	{"a TLV", binaryHeader("\x21\x11", ipv4+"\x02\x00\x0bexample.com"), whole, "203.0.113.7:4660", nil},
	{"TLVs, an empty one among them", binaryHeader("\x21\x21", ipv6+"\x04\x00\x00\xea\x00\x01x"), whole, "[2001:db8::7]:4660", nil},
	{"a TLV after unix names", binaryHeader("\x21\x31", unixNames+"\x04\x00\x01x"), whole, "", nil},
	{"as long as may be", binaryHeader("\x21\x11", ipv4+"\x04\x07\xf1"+strings.Repeat("x", maxRest-15)), whole, "203.0.113.7:4660", nil},
	{"the right checksum", binaryHeader("\x21\x11", ipv4+"\x03\x00\x04\x0e\xe7\xc7\x17"), whole, "203.0.113.7:4660", nil},

	{"one byte too long", binaryHeader("\x21\x11", ipv4+"\x04\x07\xf2"+strings.Repeat("x", maxRest-14)), errLong, "", nil},
	{"local, one byte too long", binaryHeader("\x20\x00", strings.Repeat("x", maxRest+1)), errLong, "", nil},
	{"version 1 in binary", binaryHeader("\x11\x11", ipv4), errVersion, "", nil},
	{"version 3", binaryHeader("\x31\x11", ipv4), errVersion, "", nil},
	{"another command", binaryHeader("\x22\x11", ipv4), errCommand, "", nil},
	{"another family in binary", binaryHeader("\x21\x41", ipv4), errProtocol, "", nil},
	{"another transport in binary", binaryHeader("\x21\x13", ipv4), errProtocol, "", nil},
	{"a family without transport", binaryHeader("\x21\x10", ipv4), errProtocol, "", nil},
	{"a transport without family", binaryHeader("\x21\x01", ipv4), errProtocol, "", nil},
	{"UDP over IPv4", binaryHeader("\x21\x12", ipv4), errDatagram, "", nil},
	{"UDP over IPv6", binaryHeader("\x21\x22", ipv6), errDatagram, "", nil},
	{"unix datagrams", binaryHeader("\x21\x32", unixNames), errDatagram, "", nil},
	{"too short for IPv4", binaryHeader("\x21\x11", ipv4[1:]), errShort, "", nil},
	{"too short for IPv6", binaryHeader("\x21\x21", ipv6[1:]), errShort, "", nil},
	{"too short for unix", binaryHeader("\x21\x31", unixNames[1:]), errShort, "", nil},
	{"an empty block", binaryHeader("\x21\x11", ""), errShort, "", nil},

	{"a byte after the addresses", binaryHeader("\x21\x11", ipv4+"\x04"), whole, "", errVector},
	{"half a length after the addresses", binaryHeader("\x21\x21", ipv6+"\x04\x00"), whole, "", errVector},
	{"a TLV that runs over the end", binaryHeader("\x21\x11", ipv4+"\x04\x00\x02x"), whole, "", errVector},
	{"a second TLV that runs over the end", binaryHeader("\x21\x11", ipv4+"\x04\x00\x00\x04\xff\xff"), whole, "", errVector},
	{"a wrong checksum", binaryHeader("\x21\x11", ipv4+"\x03\x00\x04\x0e\xe7\xc7\x16"), whole, "", errChecksum},
	{"a checksum too short", binaryHeader("\x21\x11", ipv4+"\x03\x00\x03\x0e\xe7\xc7"), whole, "", errChecksum},

	{"HTTP", "GET / HTTP/1.1\r\n", ErrNone, "", nil},
	{"HTTP by a method like the signature", "PROPFIND / HTTP/1.1\r\n", ErrNone, "", nil},
	{"TLS", "\x16\x03\x01\x02\x00", ErrNone, "", nil},
	{"a space before the signature", " PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\r\n", ErrNone, "", nil},
	{"the signature in lower case", "proxy TCP4 203.0.113.7 192.0.2.1 4660 443\r\n", ErrNone, "", nil},
	{"empty lines", "\r\n\r\nGET / HTTP/1.1\r\n", ErrNone, "", nil},
}

func TestHeaders(t *testing.T) {
	for _, h := range headers {
		t.Run(h.why, func(t *testing.T) {
			checkEnd(t, h.bytes)
			end, err := End([]byte(h.bytes))
			if err != h.end || err == nil && end != len(h.bytes) {
				t.Fatalf("End: %d, %v; want %d, %v", end, err, len(h.bytes), h.end)
			}
			if err == nil {
				checkSource(t, h.bytes, h.source, h.err)
			}
		})
	}
}

// What follows a header is not looked at, whatever it is.
func TestWhatFollows(t *testing.T) {
	for _, h := range headers {
		for _, next := range []string{"\r\n", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n", h.bytes} {
			checkEnd(t, h.bytes+next)
			end, err := End([]byte(h.bytes + next))
			if err != h.end || err == nil && end != len(h.bytes) {
				t.Errorf("%s, then %q: %d, %v; want %d, %v", h.why, next, end, err, len(h.bytes), h.end)
			}
		}
	}
}

func TestSourceOfPart(t *testing.T) {
	for _, h := range headers {
		if h.end != whole {
			continue
		}
		for n := range len(h.bytes) {
			checkSource(t, h.bytes[:n], "", errPartial)
		}
		checkSource(t, h.bytes+"x", "", errPartial)
	}
	checkSource(t, "GET / HTTP/1.1\r\n", "", ErrNone)
}

// An anomaly is told at the byte that makes it one.
func TestEarlyVerdict(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  error
	}{
		{"G", ErrNone},
		{"PROP", ErrNone},
		{"PROXY U", nil},
		{"PROXY UD", errTransport},
		{"PROXY UNKNOWNS", errTransport},
		{"PROXY TCP4 203.0.113.7\n", errLineEnd},
		{"PROXY UNKNOWN " + strings.Repeat("x", maxLine-16), nil},
		{"PROXY UNKNOWN " + strings.Repeat("x", maxLine-15), errLineLength}, // no room for a CRLF
		{"\r\n\r\n\x01", ErrNone},
		{binarySignature, nil},
		{binarySignature + "\x10", errVersion},
		{binarySignature + "\x2f", errCommand},
		{binarySignature + "\x21\x12", errDatagram},
		{binarySignature + "\x21\x99", errProtocol},
		{binarySignature + "\x21\x11\x00", nil},
		{binarySignature + "\x21\x11\x00\x0b", errShort},
		{binarySignature + "\x21\x11\x08\x01", errLong},
	} {
		if n, err := End([]byte(c.bytes)); n != 0 || err != c.want {
			t.Errorf("%q: %d, %v; want %v", c.bytes, n, err, c.want)
		}
		if n, err := End([]byte(c.bytes[:len(c.bytes)-1])); n != 0 || err != nil {
			t.Errorf("%q without its last byte: %d, %v", c.bytes, n, err)
		}
	}
}

// The library's limits are variables. They must not be narrower than End's.
func TestLimits(t *testing.T) {
	if proxyproto.MaxV2HeaderSize < maxRest {
		t.Errorf("the library takes %d bytes, End %d", proxyproto.MaxV2HeaderSize, maxRest)
	}
}

// checkEnd feeds b byte by byte: a verdict comes once and stays.
func checkEnd(t *testing.T, b string) {
	t.Helper()
	decided := false
	var size int
	var verdict error
	for n := range len(b) + 1 {
		end, err := End([]byte(b[:n]))
		switch {
		case err != nil && end != 0, end < 0, end > n:
			t.Fatalf("%d bytes of %q: %d, %v", n, b, end, err)
		case decided && (end != size || err != verdict):
			t.Fatalf("%d bytes of %q: %d, %v; before %d, %v", n, b, end, err, size, verdict)
		case !decided && end != 0 && end != n:
			t.Fatalf("%d bytes of %q: the header of %d bytes was not seen before", n, b, end)
		}
		size, verdict, decided = end, err, end != 0 || err != nil
	}
}

func checkSource(t *testing.T, header, want string, wantErr error) {
	t.Helper()
	source, known, err := Source([]byte(header))
	got := ""
	if known {
		got = source.String()
	}
	if got != want || err != wantErr && (err == nil || wantErr != errAny) {
		t.Errorf("%q: %s, %v; want %s, %v", header, got, err, want, wantErr)
	}
	if !known && source != (netip.AddrPort{}) {
		t.Errorf("%q: %v of nobody", header, source)
	}
}

func ExampleSource() {
	received := []byte("PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\r\nGET / HTTP/1.1\r\n")
	end, err := End(received)
	if err != nil || end == 0 {
		return // refuse, or read more
	}
	client, known, err := Source(received[:end])
	fmt.Println(client, known, err)
	// Output: 203.0.113.7:4660 true <nil>
}
