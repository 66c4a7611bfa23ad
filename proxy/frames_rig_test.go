package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// conversation has data frames of every kind with control frames between.
func conversation() []wire.Frame {
	return []wire.Frame{
		wire.Text("hello"),
		wire.Text(""),
		wire.Ping("between messages"),
		wire.Text("frag").More(), wire.Continuation("").More(), wire.Ping(""), wire.Continuation("ment"),
		wire.Pong("nobody asked"),
		wire.Binary(strings.Repeat("b", 125)),
		wire.Binary(strings.Repeat("c", 126)).More(), wire.Ping(strings.Repeat("p", 125)), wire.Continuation(strings.Repeat("d", 127)),
	}
}

// only returns the frames that are control frames, or those that are not.
func only(control bool, frames []wire.Frame) (kept []wire.Frame) {
	for _, f := range frames {
		if f.Op.IsControl() == control {
			kept = append(kept, f)
		}
	}
	return kept
}

// pongs are the answers to the pings among the frames.
func pongs(frames []wire.Frame) (want []wire.Frame) {
	for _, f := range frames {
		if f.Op == ws.OpPing {
			want = append(want, wire.Pong(f.Payload))
		}
	}
	return want
}

// Data passes verbatim, mask keys included, wherever the kernel cuts the stream.
func TestConversationSplitEverywhere(t *testing.T) {
	t.Parallel()
	for _, sender := range []string{"client", "upstream"} {
		t.Run("by the "+sender, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			client, upstream := r.opens()
			from, to := client, upstream
			if sender == "upstream" {
				from, to = upstream, client
			}
			short := []wire.Frame{wire.Text(""), wire.Ping("p"), wire.Text("a").More(), wire.Ping(""), wire.Continuation("bc"), wire.Ping("q")}
			stream := wire.Encode(from.masks(), short...)
			seen := r.metric("received_bytes_total{" + sender + "}")
			for at := 1; at < len(stream); at++ {
				from.sendsBytes(stream[:at])
				r.eventually("the first part is read", func() bool {
					return r.metric("received_bytes_total{"+sender+"}") >= seen+at
				})
				from.sendsBytes(stream[at:])
				to.wantsBytes(fmt.Sprintf("split at %d", at), wire.Data(stream))
				from.wantsLatest(fmt.Sprintf("split at %d", at), pongs(short)...)
				seen += len(stream)
			}
			r.wantsCounts(counts{"ok": 1, "opened": 1, "active": 1})
		})
	}
}

func TestConversationByteByByte(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		from, to := way[0], way[1]
		stream := wire.Encode(from.masks(), conversation()...)
		for _, b := range stream {
			from.sendsBytes([]byte{b})
		}
		to.wantsBytes("byte by byte", wire.Data(stream))
		from.wantsLatest("byte by byte", pongs(conversation())...)
	}
}

func TestConversationInRandomChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	rnd := rand.New(rand.NewPCG(1, 2))
	var frames []wire.Frame
	for i := range 30 {
		for _, f := range conversation() {
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
		from.wantsLatest("in random chunks", pongs(frames)...)
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

func TestPayloadLengths(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 200000} {
			stream := wire.Encode(way[0].masks(), wire.Binary(strings.Repeat("x", n)), wire.Text("and on"))
			way[0].sendsBytes(stream)
			way[1].wantsBytes(fmt.Sprintf("%d bytes", n), stream)
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

// A frame's length is a counter and never the size of an allocation.
func TestHugeFrameAnnounced(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		from, to := way[0], way[1]
		b := []byte{0x82, 127}
		if from.masks() {
			b[1] |= 0x80
		}
		b = binary.BigEndian.AppendUint64(b, 1<<62)
		b = append(b, strings.Repeat("x", 300<<10)...)
		go func() { _, _ = from.conn.Write(b) }()
		to.wantsBytes("a part of 2^62 bytes", b)
	}
	client.resets()
	upstream.wantsCut("there can be no Close inside of a frame")
	r.wantsCounts(counts{"ok": 1, "opened": 1, "dropped client reset": 1})
}

func TestReservedBitOfDeflate(t *testing.T) {
	t.Parallel()
	t.Run("negotiated", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client, upstream := r.opensDeflate()
		frames := []wire.Frame{
			wire.Text("z").Reserved(4),
			wire.Text("not compressed"),
			wire.Binary("zz").Reserved(4).More(), wire.Ping("p"), wire.Continuation("zzz"),
		}
		for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
			way[0].sends(frames...)
			way[1].wants("compression is end to end", only(false, frames)...)
			way[0].wants("compression is end to end", wire.Pong("p"))
		}
	})
	t.Run("offered and declined", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		client, upstream := r.opensWith(r.dials(), []string{"Sec-WebSocket-Extensions: permessage-deflate"}, nil)
		client.sends(wire.Text("z").Reserved(4))
		upstream.wantsClose("the client broke the protocol", 1001)
	})
}

func TestPeersPingsForwarded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *proxy.Config) { cfg.PeerPings = proxy.ForwardPings })
	client, upstream := r.opens()
	for _, way := range [][2]*peer{{client, upstream}, {upstream, client}} {
		way[0].sends(conversation()...)
		way[1].wants("pings and pongs are the peers' own", conversation()...)
	}
}

func TestFramesAreCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream := r.opens()
	client.sends(wire.Text("1"), wire.Text("2").More(), wire.Ping("p"), wire.Continuation("3"), wire.Binary("45"), wire.Pong("nobody asked"))
	upstream.wants("the data", wire.Text("1"), wire.Text("2").More(), wire.Continuation("3"), wire.Binary("45"))
	client.wants("the answer", wire.Pong("p"))
	upstream.sends(wire.Binary("6"), wire.Close(3999, ""))
	client.wants("all", wire.Binary("6"), wire.Close(3999, ""))
	client.sends(wire.EmptyClose())
	upstream.wants("the answer is passed on as it is", wire.EmptyClose())
	upstream.finishes("the close handshake is complete")
	client.wantsEnd("the close handshake is complete")
	client.hangsUp()
	r.wantsCounts(counts{"ok": 1, "opened": 1, "closed upstream": 1})
	for name, want := range map[string]int{
		"frames_total{text,client}":                  2,
		"frames_total{continuation,client}":          1,
		"frames_total{binary,client}":                1,
		"frames_total{ping,client}":                  1,
		"frames_total{pong,client}":                  1,
		"frames_total{close,client}":                 1,
		"frames_total{text,upstream}":                0,
		"frames_total{binary,upstream}":              1,
		"frames_total{close,upstream}":               1,
		"pings_answered_total{client}":               1,
		"pings_answered_total{upstream}":             0,
		"pings_sent_total{client}":                   0,
		"pongs_received_total{client}":               0,
		"close_frames_received_total{none,client}":   1,
		"close_frames_received_total{3xxx,upstream}": 1,
	} {
		if got := r.metric(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}
