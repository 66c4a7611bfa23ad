package upgrade

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzRequest: whatever is accepted and rebuilt, net/http reads as the one
// handshake that was meant, and a second pass changes nothing.
func FuzzRequest(f *testing.F) {
	via := Via{ClientIP: "192.0.2.1", Proto: "http"}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := accepted(t, data)
		if o == nil {
			return
		}
		out := o.AppendRequest(nil, via)
		if end := HeadEnd(out, 0); end != len(out) {
			t.Fatalf("rebuilt head ends at %d of %d:\n%q", end, len(out), out)
		}
		wantOneHandshake(t, o, out)
		again := accepted(t, out)
		if again == nil {
			t.Fatalf("rebuilt request is refused:\n%q", out)
		}
		if twice := again.AppendRequest(nil, via); !bytes.Equal(out, twice) {
			t.Fatalf("rebuilt\n%q\nand again\n%q", out, twice)
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
	o, refusal := r.Check()
	if refusal != nil {
		wantResponse(t, refusal)
	}
	return o
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

func wantOneHandshake(t *testing.T, o *Offer, out []byte) {
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
	if r.Method != "GET" || r.RequestURI != o.request.Target || r.Host != o.request.Fields.Get("Host") {
		t.Fatalf("%s %q to %q, want GET %q to %q", r.Method, r.RequestURI, r.Host, o.request.Target, o.request.Fields.Get("Host"))
	}
	for name, want := range map[string]string{
		"Upgrade":               "websocket",
		"Connection":            "Upgrade",
		"Sec-Websocket-Key":     o.key,
		"Sec-Websocket-Version": "13",
		"X-Forwarded-For":       "192.0.2.1",
		"X-Forwarded-Proto":     "http",
	} {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Fatalf("%s: %q, want %q once", name, got, want)
		}
	}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x_forwarded") || strings.HasPrefix(lower, "sec_websocket") {
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
		o := offering(t)
		a, err := o.CheckAnswer(r)
		if err != nil {
			return
		}
		out := a.AppendResponse(nil)
		wantSwitching(t, a, out)
		r, err = ParseResponse(out)
		if err != nil {
			t.Fatalf("rebuilt response: %v\n%q", err, out)
		}
		again, err := o.CheckAnswer(r)
		if err != nil {
			t.Fatalf("rebuilt answer: %v\n%q", err, out)
		}
		if twice := again.AppendResponse(nil); !bytes.Equal(out, twice) {
			t.Fatalf("rebuilt\n%q\nand again\n%q", out, twice)
		}
	})
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
	if got := r.Header.Get("Sec-WebSocket-Protocol"); got != a.Subprotocol {
		t.Fatalf("subprotocol %q, want %q", got, a.Subprotocol)
	}
	if got := len(r.Header.Values("Sec-WebSocket-Extensions")) > 0; got != a.Deflate {
		t.Fatalf("an extension is named: %t, want %t", got, a.Deflate)
	}
}
