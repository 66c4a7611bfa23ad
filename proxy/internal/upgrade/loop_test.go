package upgrade

import "testing"

func TestHasPassed(t *testing.T) {
	for _, tt := range []struct {
		fields, name string
		want         bool
	}{
		{"", "holdfast-a", false},
		{"CDN-Loop: other, holdfast-b\r\n", "holdfast-a", false},
		{"Via: 1.1 holdfast-a\r\n", "holdfast-a", false},
		{"CDN-Loop: holdfast-a\r\n", "holdfast-a", true},
		{"cdn-loop: other; x=\"y, z\",holdfast-a;x\r\n", "holdfast-a", true},
		{"CDN-Loop: other\r\nCDN-Loop: holdfast-a\r\n", "holdfast-a", true},
		{"CDN-Loop:\r\nCDN-Loop: a\r\n", "", false},
	} {
		r := mustParse(t, handshake("X="+tt.fields))
		if got := r.HasPassed(tt.name); got != tt.want {
			t.Errorf("%q has passed %q: %t, want %t", tt.fields, tt.name, got, tt.want)
		}
	}
}

// What was built by a proxy has passed it, whatever the client has sent.
func TestRequestHasPassedItsProxy(t *testing.T) {
	const name = "holdfast-a"
	for _, fields := range []string{
		"",
		"CDN-Loop: other\r\n",
		"CDN_Loop: other\r\n",
		"Connection: CDN-Loop\r\nCDN-Loop: other\r\n",
		"CDN-Loop: \"\r\n",
	} {
		head := string(mustOffer(t, handshake("X="+fields)).AppendRequest(nil, Via{Name: name}))
		if !mustParse(t, head).HasPassed(name) {
			t.Errorf("after %q it is not known that this has passed:\n%s", fields, head)
		}
	}
}
