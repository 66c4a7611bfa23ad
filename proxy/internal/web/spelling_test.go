package web_test

import (
	"net/http"
	"strings"
	"testing"

	"holdfast/proxy/internal/field"
)

// oddly are field lines in spellings that net/http would change.
const oddly = "ETag: \"x\"\r\nX-request-ID: 1\r\nx-UPPER: 2\r\n"

// acceptsOddly is the upstream's end of a request with such fields, as they were sent.
func (r *rig) acceptsOddly() *peer {
	r.t.Helper()
	upstream := r.accepts()
	head := upstream.wantsHead()
	for line := range strings.Lines(oddly + "user-agent: odd\r\n") {
		if !strings.Contains(head, "\r\n"+line) {
			r.t.Errorf("the upstream wants %q, got %q", line, head)
		}
	}
	if strings.Contains(head, "User-Agent") {
		r.t.Errorf("a second User-Agent: %q", head)
	}
	return upstream
}

// Names of fields have no case, but old clients and services compare them as they are.
func TestNamesKeepTheirSpelling(t *testing.T) {
	t.Parallel()
	const fields = oddly + "user-agent: odd\r\n"
	r := newRig(t, nil)
	client := r.opens(get[:len(get)-2] + fields + "\r\n")
	upstream := r.acceptsOddly()
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + oddly + "content-TYPE: text/odd\r\ndate: today\r\n\r\n"
	upstream.sends("HTTP/1.1 103 Early Hints\r\nLINK: </a.css>\r\n\r\n" + answer)
	client.wants("an interim answer", "HTTP/1.1 103 Early Hints\r\nLINK: </a.css>\r\n\r\n")
	client.wants("and the final one", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"x\"\r\nX-request-ID: 1\r\ncontent-TYPE: text/odd\r\ndate: today\r\nx-UPPER: 2\r\n\r\n")

	again, posted := get[:len(get)-2]+fields+"\r\n", post+"content-length: 2\r\n"+fields+"\r\nhi"
	for _, test := range []struct{ why, request, body string }{
		{"after an idle connection", again, ""},
		{"with a body", posted, "hi"},
		{"after that one", again, ""},
		{"the first of two that come in one read", again + again, ""},
		{"the second of them", "", ""},
	} {
		client.sends(test.request)
		upstream := r.acceptsOddly()
		upstream.wants(test.why, test.body)
		upstream.sends(ok)
		client.wantsAnswer(test.why, http.StatusOK)
	}
	client.hangsUp()
}

// A head behind a body may begin before the answer is over.
func TestNamesOfAnEarlyHeadKeepTheirSpelling(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(post + "content-length: 2\r\n" + oddly + "user-agent: odd\r\n\r\nhi")
	upstream := r.acceptsOddly()
	upstream.wants("the body", "hi")
	client.sends("G")
	for range 10 { // meanwhile the byte is read
		upstream.sends("HTTP/1.1 103 Early Hints\r\n\r\n")
		client.wants("an interim answer", "HTTP/1.1 103 Early Hints\r\n\r\n")
	}
	upstream.sends(ok)
	client.wantsAnswer("the first", http.StatusOK)
	client.sends(get[1:len(get)-2] + oddly + "user-agent: odd\r\n\r\n")
	r.acceptsOddly().sends(ok)
	client.wantsAnswer("the second", http.StatusOK)
	client.hangsUp()
}

// What the proxy says itself is spelled as it spells it.
func TestRefusalHasItsOwnSpelling(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	upstream.sends("HTTP/1.1 103 Early Hints\r\ncontent-TYPE: a/b\r\n\r\nHTTP/1.1 999\x00\r\n\r\n")
	client.begins(http.MethodGet)
	if head := client.wantsHead(); !strings.HasPrefix(head, "HTTP/1.1 502 ") || !strings.Contains(head, "Content-Type: text/plain") {
		t.Errorf("the refusal has the head %q", head)
	}
	client.hangsUp()
}

// A field that the operator has set is spelled as the operator spells it.
func TestOperatorsFieldsKeepTheirSpelling(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *config) { cfg.Fields = field.Fields{{Name: "X-API-key", Value: "k"}} })
	client := r.opens(get)
	upstream := r.accepts()
	if head := upstream.wantsHead(); !strings.Contains(head, "\r\nX-API-key: k\r\n") {
		t.Errorf("the upstream wants X-API-key, got %q", head)
	}
	upstream.sends(ok)
	client.wantsAnswer("it was asked", http.StatusOK)
	client.hangsUp()
}
