package probe

import "time"

// quiet is how long a step may take before Target.Waits is told.
const quiet = time.Second

// waits tells t.Waits that a step takes long, unless stop is called before. When stop has
// returned, t.Waits is not called any more.
func (t Target) waits(step Step, limit time.Duration) (stop func()) {
	if t.Waits == nil {
		return func() {}
	}
	told := make(chan struct{})
	timer := time.AfterFunc(quiet, func() {
		defer close(told)
		t.Waits(step, limit)
	})
	return func() {
		if !timer.Stop() {
			<-told
		}
	}
}
