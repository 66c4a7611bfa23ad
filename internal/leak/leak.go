// Package leak is for the TestMain of packages whose tests open connections: it
// wants back every goroutine and every descriptor that the tests took.
package leak

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// patience is how long what ends may take to be gone. Only a leak waits for it.
const patience = 20 * time.Second

// Check runs the tests and returns their exit code, or 1 if they passed and more
// is held than before them.
func Check(run func() int) int {
	warmUp()
	before := held()
	if code := run(); code != 0 {
		return code
	}
	return wantsBack(before)
}

// A holding is what a leak would add to.
type holding struct{ goroutines, descriptors int }

func held() holding {
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return holding{runtime.NumGoroutine(), len(descriptors)}
}

// warmUp makes the runtime take what it takes once and keeps: its own poller.
func warmUp() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_ = l.Close() // it was never used
}

// wantsBack returns the exit code. There is no event to wait for, so it asks
// until all is back or patience ends.
func wantsBack(before holding) int {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		now := held()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "leak: %+v are held after the tests, %+v before\n", now, before)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // the exit code says enough
			return 1
		}
	}
}
