package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
)

// idsPerMilli is the width of an id behind the time of the start in milliseconds. So ids
// of two runs of the proxy are the same only if the first run has had more than a million
// handshakes in every millisecond, or if both started in one.
const idsPerMilli = 20

// realWorld returns the world of production.
func realWorld() world {
	return world{
		clock:  newClock(),
		beside: func(job func()) { go job() },
		after:  func(d time.Duration, job func()) { time.AfterFunc(d, job) },
		random: randomNumber,
		attach: attach,
		ids:    uint64(time.Now().UnixMilli()) << idsPerMilli,
	}
}

// randomNumber returns a random number, for any goroutine.
func randomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.NativeEndian.Uint64(b[:])
}

// A clock returns the time of the machine's CLOCK_MONOTONIC, which is the same for all
// processes. It reads Go's monotonic clock, which runs at the same rate and needs no
// system call.
type clock struct {
	now    func() heartbeat.Time // the time that all loops use
	base   time.Time
	offset heartbeat.Time // what now said at base
}

func newClock() clock {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // the arguments are ours
	}
	c := clock{base: time.Now(), offset: heartbeat.Time(now.Nano())}
	c.now = func() heartbeat.Time { return c.offset.Add(time.Since(c.base)) }
	return c
}

// wall converts a time of the loops for the standard library.
func (c *clock) wall(t heartbeat.Time) time.Time { return c.base.Add(t.Sub(c.offset)) }

// in returns the time after d, for the standard library.
func (c *clock) in(d time.Duration) time.Time { return c.wall(c.now().Add(d)) }
