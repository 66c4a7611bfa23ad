package frame

import (
	"bytes"
	"strings"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	small := wire{first: text, payload: strings.Repeat("x", 64)}.bytes(true)
	run := bytes.Repeat(small, 64<<10/len(small))
	medium := wire{first: text, payload: strings.Repeat("x", 1024)}.bytes(true)
	for _, bench := range []struct {
		name   string
		chunk  []byte
		limits Limits
	}{
		{"64B", small, noLimits},
		{"64B-run", run, noLimits},
		{"64B-run-limited", run, LimitsOf(1<<20, 1<<20)},
		{"1KiB-run", bytes.Repeat(medium, 64<<10/len(medium)), noLimits},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := NewScanner(true, false)
			limits := bench.limits
			var c Counts
			b.SetBytes(int64(len(bench.chunk)))
			for b.Loop() {
				s.Scan(bench.chunk, &limits, NoGap, &c)
			}
			frames := float64(c[opText])
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/frames, "ns/frame")
		})
	}
}
