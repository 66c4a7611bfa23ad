package backend

import (
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

// Each address gets an even share of the time left. One whose queue is full is
// tried again, and the others wait.
func TestSharesOfTheTime(t *testing.T) {
	const now = heartbeat.Time(time.Hour)
	b := newBackend(t, "ws://service.example")
	d := b.Dial([]socket.Endpoint{first, second, third}, now, now.Add(30*time.Second))
	wants := func(why string, at heartbeat.Time, to socket.Endpoint, share time.Duration) {
		t.Helper()
		if by, more := d.Next(at); !more || d.To != to || by != at.Add(share) {
			t.Errorf("%s: %v is tried for %v, %v; want %v for %v", why, d.To, by.Sub(at), more, to, share)
		}
	}
	wants("a third", now, first, 10*time.Second)
	again := d.Full(now)
	if again != now.Add(queueFullPause) {
		t.Errorf("a full queue is tried again after %v, want %v", again.Sub(now), queueFullPause)
	}
	wants("once more", again, first, (30*time.Second-queueFullPause)/3)
	wants("what the first has left is for both", now.Add(time.Second), second, 14500*time.Millisecond)
	wants("all that is left", now.Add(2*time.Second), third, 28*time.Second)
	if again := d.Full(now.Add(30*time.Second - 1)); again != now.Add(30*time.Second) {
		t.Errorf("a full queue is tried again at %v, want the end of the dial", again)
	}
	if _, more := d.Next(now.Add(30 * time.Second)); more || d.Err() != ErrTimeout {
		t.Errorf("after its time the dial goes on, or fails with %v", d.Err())
	}
}
