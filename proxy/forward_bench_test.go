package proxy

import (
	"strings"
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy/internal/epoll"
)

// BenchmarkForward passes on one text message a turn, without the kernel's part. No rule of
// the messages of applications is about it.
//
//	go test -run - -bench Forward ./proxy
func BenchmarkForward(b *testing.B) {
	for _, bench := range []struct {
		name string
		size int
		app  bool
	}{
		{"64B", 64, false},
		{"1KiB", 1 << 10, false},
		{"64B-app", 64, true},
		{"1KiB-app", 1 << 10, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			cfg := testConfig()
			if bench.app {
				setApps(b, &cfg)
			}
			benchmarkForward(b, cfg, wire.Encode(true, wire.Text(strings.Repeat("x", bench.size))))
		})
	}
}

func benchmarkForward(b *testing.B, cfg Config, message []byte) {
	w := newSilentWorldOf(b, cfg)
	s := w.open()
	events := []epoll.Event{{Token: w.l.table.token(s, client), Ready: epoll.In}}
	s.legs[client].io = &talker{s.legs[client].io, message}
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		w.l.turn(w.now, events)
	}
	if want := uint64(b.N) * uint64(len(message)); s.legs[upstream].sent != want {
		b.Errorf("%d bytes were passed on, want %d", s.legs[upstream].sent, want)
	}
}

// A talker says the same with each read.
type talker struct {
	transport
	message []byte
}

func (t *talker) Read(b []byte, _ int) (int, error) { return copy(b, t.message), nil }
