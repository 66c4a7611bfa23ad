package upgrade

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/internal/field"
)

// viasOfFuzz are ways to go upstream that may not make a difference to how often a
// field is there.
var viasOfFuzz = []Via{
	testVia,
	{Host: "upstream.example:81", Fields: append(field.Fields{{Name: "X-Api-Key", Value: "a"}, {Name: "Cookie", Value: "b"}}, testVia.Fields...)},
	{Fields: testVia.Fields, Believed: true},
}

// FuzzRequest: whatever is accepted, net/http reads in the same way or not at all.
// Whatever is rebuilt, net/http reads as the one handshake that was meant, and a
// second pass changes nothing.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		o := accepted(t, data)
		if o == nil {
			return
		}
		for _, via := range viasOfFuzz {
			out := o.AppendRequest(nil, via)
			if end := HeadEnd(out, 0); end != len(out) {
				t.Fatalf("rebuilt head ends at %d of %d:\n%q", end, len(out), out)
			}
			wantOneHandshake(t, o, via, out)
			again := accepted(t, out)
			if again == nil {
				t.Fatalf("rebuilt request is refused:\n%q", out)
			}
			if twice := again.AppendRequest(nil, via); !bytes.Equal(out, twice) {
				t.Fatalf("rebuilt\n%q\nand again\n%q", out, twice)
			}
		}
	})
}

// accepted returns the offer at the start of data, or nil if there is none.
func accepted(t *testing.T, data []byte) *Offer {
	end := HeadEnd(data, 0)
	if half := len(data) / 2; HeadEnd(data[:half], 0) < 0 && HeadEnd(data, half) != end {
		t.Fatalf("the end of a head depends on how it arrived:\n%q", data)
	}
	if end < 0 {
		return nil
	}
	r, refusal := ParseRequest(data[:end])
	if refusal != nil {
		wantResponse(t, refusal)
		return nil
	}
	wantSameReading(t, r, data[:end])
	o, refusal := r.Check()
	if refusal != nil {
		wantResponse(t, refusal)
	}
	if o != nil && !r.WantsWebSocket() {
		t.Fatalf("plain HTTP is taken for a handshake:\n%q", data[:end])
	}
	return o
}

// wantSameReading: net/http is given the heads that are plain HTTP, as they came.
func wantSameReading(t *testing.T, r *Request, head []byte) {
	other, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return
	}
	host := r.Fields.Get("Host")
	if strings.Contains(host, "%") {
		host = other.Host // which net/http decodes, if it is the target's
	}
	if other.Method != r.Method || other.ProtoMinor != r.Minor || other.Host != host {
		t.Fatalf("read as %s HTTP/1.%d of %q, by net/http as %s %s of %q:\n%q",
			r.Method, r.Minor, host, other.Method, other.Proto, other.Host, head)
	}
	if chunked := r.Fields.Count("Transfer-Encoding") == 1; chunked != (other.ContentLength < 0) {
		t.Fatalf("chunked is %t, but net/http reads a length of %d:\n%q", chunked, other.ContentLength, head)
	}
	if length := r.Fields.Get("Content-Length"); length != "" {
		if n, err := strconv.ParseInt(length, 10, 64); err != nil || n != other.ContentLength {
			t.Fatalf("the length is %s, but net/http reads %d:\n%q", length, other.ContentLength, head)
		}
	}
}

func wantResponse(t *testing.T, refusal *Refusal) {
	out := bufio.NewReader(bytes.NewReader(refusal.Append(nil)))
	r, err := http.ReadResponse(out, nil)
	if err != nil || r.StatusCode != refusal.Status || !r.Close {
		t.Fatalf("refusal %+v is read as %+v, %v", refusal, r, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != refusal.Reason+"\n" {
		t.Fatalf("refusal %+v has the body %q, %v", refusal, body, err)
	}
}

func wantOneHandshake(t *testing.T, o *Offer, via Via, out []byte) {
	rest := bufio.NewReader(bytes.NewReader(out))
	r, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatalf("net/http: %v\n%q", err, out)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) > 0 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		t.Fatalf("a body: %q, %v\n%q", body, err, out)
	}
	if _, err := rest.ReadByte(); err != io.EOF {
		t.Fatalf("bytes are left over:\n%q", out)
	}
	host := cmp.Or(via.Host, o.request.Fields.Get("Host"))
	if r.Method != "GET" || r.RequestURI != o.request.Target || r.Host != host {
		t.Fatalf("%s %q to %q, want GET %q to %q", r.Method, r.RequestURI, r.Host, o.request.Target, host)
	}
	for _, want := range slices.Concat(via.Fields, field.Fields{
		{Name: "Upgrade", Value: "websocket"},
		{Name: "Connection", Value: "Upgrade"},
		{Name: "Sec-Websocket-Key", Value: o.key},
		{Name: "Sec-Websocket-Version", Value: "13"},
	}) {
		if got := r.Header.Values(want.Name); len(got) != 1 || got[0] != want.Value {
			t.Fatalf("%s: %q, want %q once", want.Name, got, want.Value)
		}
		for name := range r.Header {
			if name != http.CanonicalHeaderKey(want.Name) && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), want.Name) {
				t.Fatalf("look-alike %s went through", name)
			}
		}
	}
	for name := range r.Header {
		alias := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(alias, "x-forwarded-") && !via.Believed && !via.Fields.HasAlias(name) {
			t.Fatalf("%s went through, and the client is not believed", name)
		}
		if strings.Contains(name, "_") && (strings.HasPrefix(alias, "x-forwarded-") || strings.HasPrefix(alias, "sec-websocket-")) {
			t.Fatalf("look-alike %s went through", name)
		}
	}
}

// FuzzResponse: an accepted 101, rebuilt, is one that net/http and this package
// read as the right answer.
func FuzzResponse(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		end := HeadEnd(data, 0)
		if end < 0 {
			return
		}
		r, err := ParseResponse(data[:end])
		if err != nil {
			return
		}
		wantSameHead(t, r)
		o := offering(t)
		a, err := o.Expects().CheckAnswer(r)
		if err != nil {
			return
		}
		out := a.AppendResponse(nil)
		wantSwitching(t, a, out)
		r, err = ParseResponse(out)
		if err != nil {
			t.Fatalf("rebuilt response: %v\n%q", err, out)
		}
		again, err := o.Expects().CheckAnswer(r)
		if err != nil {
			t.Fatalf("rebuilt answer: %v\n%q", err, out)
		}
		if twice := again.AppendResponse(nil); !bytes.Equal(out, twice) {
			t.Fatalf("rebuilt\n%q\nand again\n%q", out, twice)
		}
	})
}

// wantSameHead: a head written anew is read as the same.
func wantSameHead(t *testing.T, r *Response) {
	out := r.Append(nil)
	again, err := ParseResponse(out)
	if err != nil {
		t.Fatalf("rebuilt head: %v\n%q", err, out)
	}
	if twice := again.Append(nil); again.Status != r.Status || !bytes.Equal(out, twice) {
		t.Fatalf("rebuilt\n%q\nand again\n%q", out, twice)
	}
}

func wantSwitching(t *testing.T, a *Answer, out []byte) {
	rest := bufio.NewReader(bytes.NewReader(out))
	r, err := http.ReadResponse(rest, nil)
	if err != nil {
		t.Fatalf("net/http: %v\n%q", err, out)
	}
	if _, err := rest.ReadByte(); err != io.EOF {
		t.Fatalf("bytes are left over:\n%q", out)
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", r.StatusCode)
	}
	if got := r.Header.Values("Sec-WebSocket-Accept"); len(got) != 1 || got[0] != testAccept {
		t.Fatalf("accept %q", got)
	}
	if got, want := r.Header.Values("Sec-WebSocket-Protocol"), slices.Collect(subprotocols(a.fields)); !slices.Equal(got, want) {
		t.Fatalf("subprotocols %q, want %q", got, want)
	}
	if len(r.TransferEncoding) > 0 || r.ContentLength > 0 {
		t.Fatalf("a body: %q, %d bytes", r.TransferEncoding, r.ContentLength)
	}
	if got := len(r.Header.Values("Sec-WebSocket-Extensions")) > 0; got != a.Deflate {
		t.Fatalf("an extension is named: %t, want %t", got, a.Deflate)
	}
}
