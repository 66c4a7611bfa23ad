//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// A rawPeer is a peer in this process. It can stop inside a frame, and there can be
// thousands of them.
type rawPeer struct {
	name  string
	conn  net.Conn
	in    *bufio.Reader
	masks bool // it is a client
}

// rawClient opens a session.
func rawClient(name, address string) (*rawPeer, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	p := &rawPeer{name: name, conn: conn, in: bufio.NewReaderSize(conn, 512), masks: true}
	if err := p.asks(); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

// asks makes the opening handshake.
func (p *rawPeer) asks() error {
	if err := p.conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(p.conn, wire.Request()); err != nil {
		return err
	}
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the handshake is answered with %s", response.Status)
	}
	return nil
}

// opensRaw opens a session until the test ends.
func opensRaw(t *testing.T, name string, proxy *holdfast) *rawPeer {
	t.Helper()
	client, err := rawClient(name, proxy.address())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { client.conn.Close() })
	return client
}

// rawServices serves connections at the URL: page answers a request that is not an
// upgrade, and serve has an open session until it returns.
func rawServices(t *testing.T, page func(net.Conn), serve func(*rawPeer)) (url string) {
	t.Helper()
	return upstreamDoing(t, func(conn net.Conn) {
		p := &rawPeer{name: "the service", conn: conn, in: bufio.NewReaderSize(conn, 512)}
		request, err := http.ReadRequest(p.in)
		switch {
		case err != nil: // a check of whether the service is there
		case request.Header.Get("Upgrade") == "":
			page(conn)
		default:
			if _, err := io.WriteString(conn, wire.Answer(request)); err == nil {
				serve(p)
			}
		}
	})
}

// heldServices is rawServices whose sessions are the test's.
func heldServices(t *testing.T, page func(net.Conn)) (url string, services <-chan *rawPeer) {
	t.Helper()
	opened, over := make(chan *rawPeer), make(chan struct{})
	t.Cleanup(func() { close(over) })
	return rawServices(t, page, func(p *rawPeer) {
		opened <- p
		<-over
	}), opened
}

// untilClosed answers pings until the Close comes, and answers the Close.
func (p *rawPeer) untilClosed() (told wire.Frame, err error) {
	for {
		f, err := wire.Read(p.in, !p.masks)
		switch {
		case err != nil:
			return f, err
		case f.Op == ws.OpPing:
			_ = p.writes(wire.Pong(f.Payload)) // if it fails, so does the next read
		case f.Op == ws.OpClose:
			return f, p.writes(wire.Close(f.Code(), ""))
		}
	}
}

func (p *rawPeer) writes(frames ...wire.Frame) error {
	_, err := p.conn.Write(wire.Encode(p.masks, frames...))
	return err
}

func (p *rawPeer) sends(t *testing.T, frames ...wire.Frame) {
	t.Helper()
	p.sendsBytes(t, wire.Encode(p.masks, frames...))
}

func (p *rawPeer) sendsBytes(t *testing.T, b []byte) {
	t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// wants wants the next frame to be this one.
func (p *rawPeer) wants(t *testing.T, why string, want wire.Frame) {
	t.Helper()
	if got, err := wire.Read(p.in, !p.masks); got != want || err != nil {
		t.Fatalf("%s has read %v (%v), want %v: %s", p.name, got, err, want, why)
	}
}

// wantsBytes wants the next bytes to be these.
func (p *rawPeer) wantsBytes(t *testing.T, why string, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.in, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s has read %q (%v), want %q: %s", p.name, got, err, want, why)
	}
}

// wantsEnd wants the connection to end now.
func (p *rawPeer) wantsEnd(t *testing.T, why string) {
	t.Helper()
	if got, err := wire.Read(p.in, !p.masks); err != io.EOF {
		t.Fatalf("%s has read %v (%v), want the end: %s", p.name, got, err, why)
	}
}

// leaves answers the Close and ends the connection.
func (p *rawPeer) leaves(t *testing.T, code int) {
	t.Helper()
	p.sends(t, wire.Close(code, ""))
	p.conn.Close()
}

// A rawEnd says when a client was told that the proxy stops, or what went wrong.
type rawEnd struct {
	at  time.Time
	err error
}

// staysUntilTold waits for the Close that says that the proxy stops.
func (p *rawPeer) staysUntilTold() (end rawEnd) {
	defer p.conn.Close()
	told, err := p.untilClosed()
	if err == nil && told != wire.Close(1012, "proxy is shutting down") {
		err = fmt.Errorf("client %s is told %v", p.name, told)
	}
	return rawEnd{time.Now(), err}
}

// crowd opens sessions, some of them at a time.
func crowd(t *testing.T, address string, sessions int) []*rawPeer {
	t.Helper()
	const openers = 50
	clients, failed := make([]*rawPeer, sessions), make([]error, openers)
	var all sync.WaitGroup
	for opener := range openers {
		all.Go(func() {
			for i := opener; i < sessions && failed[opener] == nil; i += openers {
				clients[i], failed[opener] = rawClient(strconv.Itoa(i), address)
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	return clients
}
