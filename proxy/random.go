package proxy

import (
	"encoding/binary"
	"io"
	"time"
)

// random hands out bytes that it has read from source in advance. Mask keys must not be
// predictable (RFC 6455 10.3), so the source is crypto/rand's Reader, except in tests.
type random struct {
	source io.Reader // static; it must never fail
	buf    [512]byte
	left   int // unused bytes, at the end of buf
}

func (r *random) take(n int) []byte {
	if r.left < n {
		if _, err := io.ReadFull(r.source, r.buf[:]); err != nil {
			panic(err) // the source must never fail
		}
		r.left = len(r.buf)
	}
	at := len(r.buf) - r.left
	r.left -= n
	return r.buf[at : at+n]
}

// Uint64 returns 64 random bits, for a ping's payload.
func (r *random) Uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// Mask returns the key of one masked frame.
func (r *random) Mask() (key [4]byte) {
	copy(key[:], r.take(4))
	return key
}

// Float64 returns a number that is evenly distributed over [0, 1).
func (r *random) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// evenly returns a number in [0, 1) for each n. The numbers of successive n are spread
// evenly: they are multiples of the golden ratio, without what is before the point.
func evenly(n uint64) float64 { return float64(n*0x9E3779B97F4A7C15>>11) / (1 << 53) }

// durationShare returns share times d.
func durationShare(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * share)
}
