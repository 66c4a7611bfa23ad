package proxy

import (
	"encoding/binary"
	"io"
	"time"
)

// random hands out the bytes of a source, which are read in advance. RFC 6455
// 10.3: mask keys must not be predictable, so the source is crypto/rand's Reader
// but in tests.
type random struct {
	source io.Reader // static; it must never fail
	buf    [512]byte
	left   int // unused bytes, at the end of buf
}

func (r *random) take(n int) []byte {
	if r.left < n {
		if _, err := io.ReadFull(r.source, r.buf[:]); err != nil {
			panic(err) // see source
		}
		r.left = len(r.buf)
	}
	at := len(r.buf) - r.left
	r.left -= n
	return r.buf[at : at+n]
}

// Uint64 is a ping's payload.
func (r *random) Uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// Mask is the key of one masked frame.
func (r *random) Mask() (key [4]byte) {
	copy(key[:], r.take(4))
	return key
}

// Float64 is evenly spread over [0, 1).
func (r *random) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// durationShare is a fraction of a duration.
func durationShare(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * share)
}
