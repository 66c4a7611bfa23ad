package upgrade

import "testing"

func TestAppendTarget(t *testing.T) {
	for _, tt := range []struct{ prefix, target, want string }{
		{"", "/", "/"},
		{"", "/?a=/", "/?a=/"},
		{"", "//", "//"},
		{"/", "/", "/"},
		{"/", "/a", "/a"},
		{"/ws", "/", "/ws"},
		{"/ws", "/?a", "/ws?a"},
		{"/ws", "/?", "/ws?"},
		{"/ws", "/a/?b", "/ws/a/?b"},
		{"/ws", "//", "/ws//"},
		{"/ws/", "/", "/ws/"},
		{"/ws/", "/?a", "/ws/?a"},
		{"/ws/", "/a", "/ws/a"},
		{"/a%2Fb", "/", "/a%2Fb"},
	} {
		if got := string(AppendTarget([]byte("GET "), tt.prefix, tt.target)); got != "GET "+tt.want {
			t.Errorf("%q behind %q is %q, want %q", tt.target, tt.prefix, got, tt.want)
		}
	}
}
