package demo

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A script that got heartbeats knows within its bound. A script that got none cannot know, and
// one whose connection ends is told by that.
func TestWatch(t *testing.T) {
	const bound = 2 * time.Second
	for name, test := range map[string]struct {
		beats  []time.Duration // when heartbeats come
		ends   time.Duration   // when the connection ends; 0 means never
		want   int             // heartbeats that were counted
		knew   time.Duration   // 0 means that it did not
		steady bool
	}{
		"no heartbeat":            {},
		"one heartbeat":           {[]time.Duration{time.Second}, 0, 1, 3 * time.Second, false},
		"heartbeats, then none":   {[]time.Duration{1 * time.Second, 2 * time.Second, 3 * time.Second}, 0, 3, 5 * time.Second, true},
		"a heartbeat just before": {[]time.Duration{time.Second, 3*time.Second - 1}, 0, 2, 5*time.Second - 1, true},
		"the connection ends":     {[]time.Duration{time.Second}, 2 * time.Second, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				c := &client{beats: make(chan struct{}), ended: make(chan struct{})}
				for _, at := range test.beats {
					time.AfterFunc(at, func() { c.beats <- struct{}{} })
				}
				if test.ends > 0 {
					time.AfterFunc(test.ends, func() { close(c.ended) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				steady := false
				w := c.watch(ctx, bound, func() { steady = true })
				var knew time.Duration
				if !w.knew.IsZero() {
					knew = w.knew.Sub(began)
				}
				if w.beats != test.want || knew != test.knew || steady != test.steady {
					t.Errorf("%d heartbeats, knew after %v, steady %v; want %d, %v, %v", w.beats, knew, steady, test.want, test.knew, test.steady)
				}
			})
		})
	}
}
