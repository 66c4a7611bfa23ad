package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The hint about ssh has the port to which the listener is bound.
func TestOwnHost(t *testing.T) {
	for want, at := range map[string]net.Addr{
		"127.0.0.1:9901": &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9901},
		"[::1]:9902":     &net.TCPAddr{IP: net.IPv6loopback, Port: 9902},
		"127.0.0.1:9903": &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 9903},
		"":               &net.UnixAddr{Name: "/run/admin.sock"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at))
		if got := ownHost(r); got != want {
			t.Errorf("%v can be reached at %q, want %q", at, got, want)
		}
	}
}
