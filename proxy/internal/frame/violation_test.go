package frame

import (
	"testing"

	"github.com/gobwas/ws"
)

// Each rule has words of its own, and some conversation that breaks it.
func TestReasonsAreDistinct(t *testing.T) {
	rule := make(map[string]*Violation)
	for _, c := range conversations {
		for _, v := range []*Violation{c.breaks, c.asServer} {
			if v == nil {
				continue
			}
			if other := rule[v.Reason]; other != nil && other != v {
				t.Errorf("two rules say %q", v.Reason)
			}
			rule[v.Reason] = v
			if got := AppendClosePayload(nil, v.Code, v.Reason); string(got[2:]) != v.Reason {
				t.Errorf("%q does not fit into a Close", v.Reason)
			}
		}
	}
}

func TestCloseCodes(t *testing.T) {
	legal := func(code int) bool {
		switch code {
		case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
			return true
		}
		return code >= 3000 && code <= 4999
	}
	scan := func(code int) *Violation {
		s := NewScanner(false, false)
		payload := AppendClosePayload(nil, ws.StatusCode(code), "")
		return s.Scan(AppendControl(nil, ws.OpClose, payload), &noLimits, NoGap, new(Counts)).Violation
	}
	for code := range 1 << 16 {
		var want *Violation
		if !legal(code) {
			want = closeCode
		}
		if got := scan(code); got != want {
			t.Errorf("code %d: %+v, want %+v", code, got, want)
		}
	}
}
