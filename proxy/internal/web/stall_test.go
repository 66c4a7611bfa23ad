package web_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// brief is a patience that ends within a test.
const brief = time.Second

func impatient(cfg *config) { cfg.WriteTimeout = brief }

func TestBodyThatStopsComing(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	client := r.opens("POST /upload HTTP/1.1\r\nHost: service.example\r\nContent-Length: 10\r\n\r\nx")
	r.accepts().wantsHead()
	client.wantsAnswer("nine bytes are missing", http.StatusRequestTimeout)
	client.wantsEnd("the rest of the body is not to be taken for a request")
	r.wantsCounted(http.StatusRequestTimeout)
}

// unread is more than the buffers of a loopback connection take.
var unread = strings.Repeat("x", 64<<20)

func TestUpstreamThatTakesNoBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	// The head and more than the way to the upstream takes are written at once: a test
	// that gets no processor for a while must not look like a body that stops coming.
	const atOnce = 4 << 20
	client := r.opens("POST /upload HTTP/1.1\r\nHost: service.example\r\nContent-Length: 67108864\r\n\r\n" + unread[:atOnce])
	r.accepts() // and never reads
	go pours(client, unread[atOnce:])
	client.wantsAnswer("the upstream takes nothing", http.StatusGatewayTimeout)
	r.wantsCounted(http.StatusGatewayTimeout)
}

func TestClientThatTakesNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, impatient)
	client := r.opens(get)
	upstream := r.accepts()
	upstream.wantsHead()
	pours(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n"+unread) // until it is cut
	if _, err := io.ReadAll(client.begins(http.MethodGet).Body); err == nil {
		t.Error("the client has the whole answer, though it took nothing for so long")
	}
}

// pours writes until all is written or the other end takes no more.
func pours(p *peer, s string) { _, _ = io.WriteString(p.conn, s) }

// A stop cuts a request whose body the upstream does not take, too.
func TestShutdownCutsWhatIsBlocked(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := r.opens("POST /upload HTTP/1.1\r\nHost: service.example\r\nContent-Length: 67108864\r\n\r\n")
	r.accepts() // and never reads
	go pours(client, unread)
	r.shutdown(0)
}
