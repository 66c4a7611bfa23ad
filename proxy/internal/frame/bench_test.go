package frame

import (
	"bytes"
	"fmt"
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

// BenchmarkWatch has a scanner that is watched beside one that is not. No message is taken:
// each passes when Gather has looked at it.
func BenchmarkWatch(b *testing.B) {
	for _, bench := range []struct {
		name   string
		first  byte
		length int
	}{
		{"binary-64B", binaryFrame, 64},
		{"text-64B", text, 64},
		{"text-longest", text, MaxText},
		{"text-over-the-limit", text, MaxText + 1},
	} {
		message := wire{first: bench.first, payload: strings.Repeat("x", bench.length)}.bytes(true)
		run := bytes.Repeat(message, 64<<10/len(message))
		for _, watch := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/watched=%t", bench.name, watch), func(b *testing.B) { benchmarkWatch(b, run, watch) })
		}
	}
}

func benchmarkWatch(b *testing.B, run []byte, watch bool) {
	s := NewScanner(true, false)
	if watch {
		s.Watch()
	}
	var c Counts
	text := make([]byte, 0, MaxGathered)
	b.SetBytes(int64(len(run)))
	for b.Loop() {
		for at := 0; at < len(run); {
			r := s.Scan(run[at:], &noLimits, NoGap, &c)
			at += r.Pass
			if r.Stop == Message {
				s.Gather(run[at:], &noLimits, text)
				s.Skip()
			}
		}
	}
	frames := float64(c[opText] + c[opBinary])
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/frames, "ns/frame")
}
