package leak

import "testing"

func TestCheckPassesFailuresOn(t *testing.T) {
	for _, code := range []int{0, 1, 2} {
		if got := Check(func() int { return code }); got != code {
			t.Errorf("exit code %d, want %d", got, code)
		}
	}
}
