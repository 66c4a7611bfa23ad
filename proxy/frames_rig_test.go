package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// Data passes verbatim, mask keys included, however the kernel cuts the stream.
func TestConversationInRandomChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	rnd := rand.New(rand.NewPCG(1, 2))
	var frames []wire.Frame
	for i := range 30 {
		for _, f := range wire.Conversation() {
			if f.Op == ws.OpPing { // no two alike, so that it shows which are answered
				f.Payload = fmt.Sprintf("%-5d", i) + f.Payload[:min(len(f.Payload), 120)]
			}
			frames = append(frames, f)
		}
	}
	for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		from, to := way[0], way[1]
		stream := wire.Encode(from.masks(), frames...)
		go sendChunks(from, stream, rnd)
		to.wantsBytes("in random chunks", wire.Data(stream))
		from.wantsLatest("in random chunks", wire.Answers(frames)...)
	}
}

// sendChunks cuts the stream anywhere. An error shows at the receiver.
func sendChunks(p *peer, stream []byte, rnd *rand.Rand) {
	for len(stream) > 0 {
		n := min(1+rnd.IntN(200), len(stream))
		if _, err := p.conn.Write(stream[:n]); err != nil {
			return
		}
		stream = stream[n:]
	}
}

// A flood of pings is read in small pieces, and so is what comes after it. Nothing
// of it is lost, and the last ping is answered.
func TestFloodOfPings(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		from, to := way[0], way[1]
		flood := bytes.Repeat(wire.Encode(from.masks(), wire.Ping("")), 20_000)
		message := wire.Binary(strings.Repeat("m", 50_000))
		flood = append(flood, wire.Encode(from.masks(), message, wire.Ping("the last"), wire.Text("and on"))...)
		sent := make(chan error, 1)
		go func() {
			_, err := from.conn.Write(flood)
			sent <- err
		}()
		answers := 0
		for {
			got, err := from.reads()
			if err != nil || got.Op != ws.OpPong {
				t.Fatalf("the %s wants a pong, got %v, %v", from.name, got, err)
			}
			if answers++; got.Payload == "the last" {
				break
			}
		}
		to.wants("what stands between the pings", message, wire.Text("and on"))
		if err := <-sent; err != nil {
			t.Errorf("the %s sends: %v", from.name, err)
		}
		if answers > 2_000 {
			t.Errorf("%d of 20,001 pings were answered, want one for each read", answers)
		}
	}
}

// bulk is a stream of binary frames of all sizes, about n bytes long. Payloads
// are random, so masking them would change nothing.
func bulk(seed uint64, n int, masked bool) []byte {
	random := rand.NewChaCha8([32]byte{byte(seed)})
	rnd := rand.New(random)
	b := bytes.NewBuffer(make([]byte, 0, n+1<<20))
	for b.Len() < n {
		size := rnd.IntN(1 << (1 + rnd.IntN(19)))
		h := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: masked, Length: int64(size)}
		if masked {
			_, _ = random.Read(h.Mask[:])
		}
		if err := ws.WriteHeader(b, h); err != nil {
			panic(err)
		}
		_, _ = io.CopyN(b, random, int64(size))
	}
	return b.Bytes()
}

func TestBulkBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	var wg sync.WaitGroup
	for i, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		from, to := way[0], way[1]
		sent := bulk(uint64(i), 10<<20, from.masks())
		wg.Go(func() {
			if _, err := from.conn.Write(sent); err != nil {
				t.Errorf("%s sends: %v", from.name, err)
			}
		})
		wg.Go(func() {
			got := sha256.New()
			n, err := io.CopyN(got, to.in, int64(len(sent)))
			if want := sha256.Sum256(sent); err != nil || !bytes.Equal(got.Sum(nil), want[:]) {
				t.Errorf("the %s got %d of %d bytes (%v), or others than were sent", to.name, n, len(sent), err)
			}
		})
	}
	wg.Wait()
	client.sends(wire.Text("still in step"))
	upstream.wants("after the bulk", wire.Text("still in step"))
}

// A receiver that is slow but reads gets all, and the Close and the FIN after it.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opensWith(r.dialsNarrowly(), nil, nil)
	sent := bulk(3, 16<<20, false)
	wrote := make(chan error, 1)
	go func() {
		_, err := upstream.conn.Write(append(sent, wire.Encode(false, wire.Close(4000, "done"))...))
		wrote <- err
	}()
	r.eventually("the upstream is not read while the client is slow", func() bool {
		return r.metric("reads_paused{upstream}") == 1
	})
	if n := r.metric("buffered_bytes{client}"); n <= 0 || n > 64<<10 {
		t.Errorf("%d bytes are buffered for the client, want some and at most 64 KiB", n)
	}
	client.sends(wire.Text("the other way"))
	upstream.wants("the other direction is not blocked", wire.Text("the other way"))
	client.wantsBytes("all that was sent", sent)
	client.wants("the Close comes last", wire.Close(4000, "done"))
	if err := <-wrote; err != nil {
		t.Errorf("the upstream sends: %v", err)
	}
	client.sends(wire.Close(4000, "done"))
	upstream.wants("the answer", wire.Close(4000, "done"))
	upstream.finishes("the close handshake is complete")
	client.wantsEnd("the close handshake is complete")
	client.hangsUp()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "closed upstream": 1})
}

// What was negotiated decides over RSV1.
func TestReservedBitIsWhatWasNegotiated(t *testing.T) {
	t.Parallel()
	t.Run("compression", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client, upstream := r.opensDeflate()
		client.sends(wire.Text("z").Reserved(4))
		upstream.wants("compression is end to end", wire.Text("z").Reserved(4))
	})
	t.Run("offered and declined", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client, upstream := r.opensWith(r.dials(), []string{"Sec-WebSocket-Extensions: permessage-deflate"}, nil)
		client.sends(wire.Text("z").Reserved(4))
		upstream.wantsClose("the client broke the protocol", 1001)
	})
}
