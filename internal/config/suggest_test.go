package config

import "testing"

func TestNearest(t *testing.T) {
	candidates := []string{"serve", "check", "env"}
	for word, want := range map[string]string{
		"server": "serve", "chek": "check", "serv": "serve", "env": "env", "envs": "env", "run": "", "": "", "demonstrate": "",
	} {
		if got := Nearest(word, "", candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
