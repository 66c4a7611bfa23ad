package web_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

// TestMain runs the tests and then wants every goroutine and every descriptor
// back that they took.
func TestMain(m *testing.M) {
	warmUp()
	before := held()
	code := m.Run()
	if code == 0 {
		code = wantsBack(before)
	}
	os.Exit(code)
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
	l.Close()
}

// wantsBack returns the exit code: 1 if more is held than before. What ends
// needs a moment, so it is asked until it is so or patience ends.
func wantsBack(before holding) int {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		now := held()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "leak: %+v are held after the tests, %+v before\n", now, before)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			return 1
		}
	}
}
