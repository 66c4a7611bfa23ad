package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy"
)

// logged returns the messages of a text log, with their fields.
func logged(log string) (told []string) {
	for line := range strings.Lines(log) {
		_, what, _ := strings.Cut(line, "msg=")
		told = append(told, strings.TrimSpace(what))
	}
	return told
}

// A drain says every five seconds how many are left.
func TestProgressIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGTERM
		server := &fakeProxy{ended: make(chan struct{}), shutdown: func(context.Context) (int, error) {
			time.Sleep(12 * time.Second)
			return 0, nil
		}}
		var log bytes.Buffer
		d := &Daemon{proxy: server, log: slog.New(slog.NewTextHandler(&log, nil)), term: slowly}
		if !d.Run(signals, nil) {
			t.Error("it failed")
		}
		synctest.Wait()
		want := []string{
			`draining signal=terminated sessions=2 at_most_s=55`,
			`"still draining" sessions=2 after_s=5`,
			`"still draining" sessions=2 after_s=10`,
			`"holdfast ends" cut=0`,
		}
		if told := logged(log.String()); !slices.Equal(told, want) {
			t.Errorf("the log says %q, want %q", told, want)
		}
	})
}

// What is said of a drain comes before what is said of its end, also when both are due at
// once.
func TestProgressIsNotToldBehindTheEnd(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 1)
			signals <- syscall.SIGTERM
			server := &fakeProxy{ended: make(chan struct{}), shutdown: func(context.Context) (int, error) {
				time.Sleep(progressEvery)
				return 0, nil
			}}
			var log bytes.Buffer
			d := &Daemon{proxy: server, log: slog.New(slog.NewTextHandler(&log, nil)), term: slowly}
			d.Run(signals, nil)
			synctest.Wait()
			if told := logged(log.String()); told[len(told)-1] != `"holdfast ends" cut=0` {
				t.Fatalf("the log says %q", told)
			}
		})
	}
}

// The admin listener drains the proxy as SIGTERM does, however often it is asked, and the
// process lives on. A signal goes on from there.
func TestDrainWithoutAnEnd(t *testing.T) {
	for _, tc := range []struct {
		name   string
		signal os.Signal
		after  time.Duration // when the signal comes
		over   time.Duration // when the drain is over; 0: before the stop it is not
		cut    int
		how    proxy.Stop
		log    []string
	}{
		{"SIGTERM when it is over", syscall.SIGTERM, 21 * time.Second, 7 * time.Second, 0, slowly, []string{
			`draining asked="POST /api/drain" sessions=2 at_most_s=12`,
			`"still draining" sessions=2 after_s=5`,
			`"drained; the process waits for a signal"`,
			`draining signal=terminated sessions=2 at_most_s=12`,
			`"holdfast ends" cut=0`,
		}},
		{"SIGTERM on the way", syscall.SIGTERM, 4 * time.Second, 0, 0, slowly, []string{
			`draining asked="POST /api/drain" sessions=2 at_most_s=12`,
			`draining signal=terminated sessions=2 at_most_s=12`,
			`"still draining" sessions=2 after_s=5`,
			`"holdfast ends" cut=0`,
		}},
		{"SIGINT on the way, and sessions were cut", syscall.SIGINT, 4 * time.Second, 0, 3, atOnce, []string{
			`draining asked="POST /api/drain" sessions=2 at_most_s=12`,
			`draining signal=interrupt sessions=2 at_most_s=7`,
			`"still draining" sessions=2 after_s=5`,
			`"holdfast ends" cut=3`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &fakeProxy{ended: make(chan struct{}), over: make(chan struct{}), shutdown: func(context.Context) (int, error) {
					time.Sleep(2 * time.Second)
					return tc.cut, nil
				}}
				var log bytes.Buffer
				d := &Daemon{proxy: server, log: slog.New(slog.NewTextHandler(&log, nil)), term: slowly, interrupt: atOnce, asked: make(chan struct{}, 1)}
				signals := make(chan os.Signal, 1)
				ended := make(chan bool, 1)
				go func() { ended <- d.Run(signals, nil) }()
				for range 3 {
					d.drainOnly()
					synctest.Wait()
				}
				if tc.over > 0 {
					time.AfterFunc(tc.over, func() { close(server.over) })
				}
				time.Sleep(tc.after)
				signals <- tc.signal
				if well := <-ended; well != (tc.cut == 0) {
					t.Errorf("ended well: %v, and %d sessions were cut", well, tc.cut)
				}
				synctest.Wait()
				if told := logged(log.String()); !slices.Equal(told, tc.log) {
					t.Errorf("the log says %q, want %q", told, tc.log)
				}
				if want := []proxy.Stop{slowly, slowly, slowly}; !slices.Equal(server.drained, want) || server.stopped != tc.how {
					t.Errorf("it was drained as %+v and shut down as %+v, want %+v", server.drained, server.stopped, tc.how)
				}
			})
		})
	}
}

// A proxy that fails during a drain ends the process.
func TestProxyFailsDuringADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fakeProxy{ended: make(chan struct{})}
		d := &Daemon{proxy: server, log: slog.New(slog.DiscardHandler), term: slowly, asked: make(chan struct{}, 1)}
		ended := make(chan bool, 1)
		go func() { ended <- d.Run(nil, nil) }()
		d.drainOnly()
		synctest.Wait()
		close(server.ended)
		if <-ended {
			t.Error("it ended well")
		}
	})
}
