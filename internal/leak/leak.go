// Package leak is for the TestMain of packages whose tests open connections. It checks
// that every goroutine has ended and every descriptor is closed after the tests.
package leak

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// patience is how long goroutines and descriptors may take to end. Only a leak takes so
// long.
const patience = 20 * time.Second

// Check runs the tests and returns their exit code. It returns 1 if the tests passed and
// there are more goroutines or descriptors than before. A process that fuzzes is not held
// to that, because the engine has goroutines and pipes of its own.
func Check(run func() int) int {
	flag.Parse()
	if fuzzes() {
		return run()
	}
	warmUp()
	before := held()
	if code := run(); code != 0 {
		return code
	}
	return wantsBack(before)
}

// fuzzes reports whether this process fuzzes.
func fuzzes() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if v := flag.Lookup(name).Value.String(); v != "" && v != "false" {
			return true
		}
	}
	return false
}

// A holding is how many goroutines and descriptors the process has.
type holding struct{ goroutines, descriptors int }

func held() holding {
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return holding{runtime.NumGoroutine(), len(descriptors)}
}

// warmUp makes the runtime open its poller, whose descriptors it keeps.
func warmUp() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_ = l.Close() // it was not used
}

// wantsBack waits until the process has no more than before, or until patience is over. It
// returns the exit code. It has to poll, because no event tells it of a change.
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
