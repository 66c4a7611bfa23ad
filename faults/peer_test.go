//go:build faults

package faults

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// A peer is a program of ours at one end of the network.
type peer struct {
	*blackbox.Process
	input  *json.Encoder
	events chan event
	hears  bool // it tells what it receives
}

// startUpstream runs the service and waits until it listens.
func startUpstream(t *testing.T, n *network, b behaviour) *peer {
	t.Helper()
	b.Server = true
	p := startPeer(t, n.upstream, "upstream", b)
	p.wants("listening", 1)
	return p
}

// startClient runs a client and waits until all its sessions are open.
func startClient(t *testing.T, n *network, b behaviour) *peer {
	t.Helper()
	p := startPeer(t, n.client, "client", b)
	if !b.Quiet {
		p.wants("opened", max(1, b.Sessions))
	}
	return p
}

func startPeer(t *testing.T, in *namespace, name string, b behaviour) *peer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	cmd := in.command(self)
	cmd.Env = append(os.Environ(), peerVariable+"="+string(wanted))
	p := &peer{events: make(chan event, 1<<16), hears: b.TellEvery > 0}
	input, output := pipes(t, cmd)
	p.input = json.NewEncoder(input)
	p.Process = start(t, name, cmd)
	go p.listens(output)
	return p
}

func pipes(t *testing.T, cmd *exec.Cmd) (io.Writer, io.Reader) {
	t.Helper()
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = out
	// After the process has ended: cleanups run last in, first out.
	t.Cleanup(func() { output.Close() })
	t.Cleanup(func() { out.Close() })
	return input, output
}

func (p *peer) listens(output io.Reader) {
	defer close(p.events)
	for told := json.NewDecoder(output); ; {
		var e event
		if told.Decode(&e) != nil {
			return
		}
		p.events <- e
	}
}

func (p *peer) does(c command) {
	p.T.Helper()
	if err := p.input.Encode(c); err != nil {
		p.T.Fatalf("%s: %v", p.Name, err)
	}
}

// wants waits for n events of a kind and returns the last. An end that comes before
// is a failure; what else comes is passed over.
func (p *peer) wants(kind string, n int) (e event) {
	p.T.Helper()
	deadline := time.After(patience)
	for seen := 0; seen < n; {
		select {
		case got, more := <-p.events:
			switch {
			case !more:
				p.T.Fatalf("%s ended before %d × %q, %d were told", p.Name, n, kind, seen)
			case got.Event == kind:
				e = got
				seen++
			case kind == "finished" && got.Event == "closed" && got.Code == 1000: // as it was told to
			case got.isEnd():
				p.T.Fatalf("%s tells %+v, want %d × %q, %d were told", p.Name, got, n, kind, seen)
			}
		case <-deadline:
			p.T.Fatalf("%s: waited in vain for %d × %q, %d were told", p.Name, n, kind, seen)
		}
	}
	return e
}

// isEnd tells what a session does not outlive.
func (e event) isEnd() bool {
	switch e.Event {
	case "closed", "ended", "corrupt", "failed":
		return true
	}
	return false
}

// wantsClosed waits for the end of one session by that Close.
func (p *peer) wantsClosed(code int, reason string) event {
	p.T.Helper()
	e := p.wants("closed", 1)
	if e.Code != code || e.Reason != reason {
		p.T.Fatalf("%s is sent Close %d %q, want %d %q", p.Name, e.Code, e.Reason, code, reason)
	}
	return e
}

// wantsNoEnd fails the test if a session has ended by now.
func (p *peer) wantsNoEnd() {
	p.T.Helper()
	for {
		select {
		case e := <-p.events:
			if e.isEnd() {
				p.T.Errorf("%s tells %+v, want no end", p.Name, e)
				return
			}
		default:
			return
		}
	}
}
