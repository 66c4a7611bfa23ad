package proxy

import (
	"crypto/rand"
	"testing"
	"time"

	"holdfast/heartbeat"
)

// Each loop must have turned since the call before, and not only most of them.
func TestTurned(t *testing.T) {
	now := heartbeat.Time(time.Hour)
	s, err := newServer(testConfig(), inventedTime(func() heartbeat.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	for range 3 {
		s.addLoop(newInvented(), rand.Reader)
	}
	wants := func(why string, want bool) {
		t.Helper()
		if got := s.Turned(); got != want {
			t.Errorf("%s: all have turned: %v, want %v", why, got, want)
		}
	}
	turn := func(which ...int) {
		for _, i := range which {
			s.loops[i].turn(now, nil)
		}
	}
	wants("nothing was asked before", true)
	wants("no loop has turned", false)
	turn(0, 1)
	wants("the last one hangs", false)
	turn(0, 1)
	turn(0, 1)
	wants("the last one still hangs", false)
	turn(2)
	wants("the first two were asked again, and have not turned", false)
	turn(0, 1, 2)
	wants("all have turned", true)
	for _, l := range s.loops {
		if l.inbox.take(); len(l.inbox.taken) != 1 {
			t.Errorf("%d jobs wait on a loop, want one however often it was asked", len(l.inbox.taken))
		}
		l.inbox.stop()
		l.runJobs()
	}
	wants("they have ended", true)
	wants("they have ended for good", true)
}

// A loop that a job holds has not turned, though it runs.
func TestTurnedWithALoopThatIsHeld(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.HealthInterval = 2, -1
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run() }()
	begun, release := make(chan struct{}), make(chan struct{})
	s.loops[1].post(func() { close(begun); <-release })
	<-begun
	s.Turned()
	// The loop that is free answers.
	answered := make(chan struct{})
	s.loops[0].post(func() { close(answered) })
	<-answered
	for range 2 {
		if s.Turned() {
			t.Error("the loop that is held has turned")
		}
	}
	close(release)
	s.onEveryLoop(func(*loop) {})
	if !s.Turned() {
		t.Error("the loops that are free have not turned")
	}
	if cut, err := s.Shutdown(t.Context(), Stop{}); cut != 0 || err != nil {
		t.Errorf("the end: %d were cut, %v", cut, err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
