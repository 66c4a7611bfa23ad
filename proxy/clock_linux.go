package proxy

import (
	"time"

	"golang.org/x/sys/unix"

	"holdfast/heartbeat"
)

// A clock tells the machine's CLOCK_MONOTONIC, which all of its processes can
// compare. It asks Go's, which runs alike and costs no system call.
type clock struct {
	now    func() heartbeat.Time // the time that all loops go by
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

// wall is a time of the loops as the standard library takes it.
func (c *clock) wall(t heartbeat.Time) time.Time { return c.base.Add(t.Sub(c.offset)) }

// in is the time after d, as the standard library takes it.
func (c *clock) in(d time.Duration) time.Time { return c.wall(c.now().Add(d)) }
