package frame

import (
	"bytes"
	"strings"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	small := wire{first: text, payload: strings.Repeat("x", 64)}.bytes(true)
	medium := wire{first: text, payload: strings.Repeat("x", 1024)}.bytes(true)
	for _, bench := range []struct {
		name  string
		chunk []byte
	}{
		{"64B", small},
		{"64B-run", bytes.Repeat(small, 64<<10/len(small))},
		{"1KiB-run", bytes.Repeat(medium, 64<<10/len(medium))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := NewScanner(true, false)
			var c Counts
			b.SetBytes(int64(len(bench.chunk)))
			for b.Loop() {
				s.Scan(bench.chunk, LimitOf(0), NoGap, &c)
			}
			frames := float64(c[opText])
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/frames, "ns/frame")
		})
	}
}
