package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
)

// who says who may ask for a path.
type who uint8

const (
	anyone    who = iota // every program that can reach the listener
	operators            // programs on this host, and those that know the token
)

// crossOrigin tells a request of a page of another origin, made by a browser that its
// user has on this host, from one of a program.
var crossOrigin = http.NewCrossOriginProtection()

// admits reports whether the request may be answered. If not, it answers it.
func (t route) admits(w http.ResponseWriter, r *http.Request) bool {
	_, authorized := r.Header["Authorization"]
	switch {
	case crossOrigin.Check(r) != nil, t.own && isForeign(r):
		http.Error(w, "a page of another origin may not ask for this", http.StatusForbidden)
		return false
	case t.may == anyone, isOperator(r, t.token):
		return true
	case t.token == "":
		http.Error(w, noToken, http.StatusForbidden)
		return false
	case !authorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "send Authorization: Bearer TOKEN, with the value of HOLDFAST_ADMIN_TOKEN", http.StatusUnauthorized)
		return false
	default:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "Authorization must be Bearer and the value of HOLDFAST_ADMIN_TOKEN, and is not", http.StatusUnauthorized)
		return false
	}
}

// isForeign reports whether a page of another origin made the browser ask, by whatever
// method.
func isForeign(r *http.Request) bool {
	asked := r.WithContext(r.Context()) // a copy
	asked.Method = http.MethodPost      // crossOrigin lets every GET pass
	return crossOrigin.Check(asked) != nil
}

// isOperator reports whether the request is an operator's.
func isOperator(r *http.Request, token string) bool {
	if _, authorized := r.Header["Authorization"]; authorized {
		return token != "" && showsToken(r, token)
	}
	return isLocal(r)
}

const noToken = "only programs on this host may ask for this, without Authorization and not through a proxy; " +
	"set HOLDFAST_ADMIN_TOKEN, and others may ask with Authorization: Bearer TOKEN"

// showsToken reports whether the request has the token. How long the comparison takes says
// nothing about the token.
func showsToken(r *http.Request, token string) bool {
	all := r.Header.Values("Authorization")
	scheme, shown, _ := strings.Cut(all[0], " ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimLeft(shown, " ")))
	return len(all) == 1 && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// isLocal reports whether the request comes from a program on this host that speaks for
// itself. A proxy on this host speaks for its clients.
func isLocal(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback() && !isForwarded(r)
}

// isForwarded reports whether a proxy has passed the request on.
func isForwarded(r *http.Request) bool {
	for name := range r.Header {
		switch {
		case name == "Forwarded", name == "Via", name == "X-Real-Ip", strings.HasPrefix(name, "X-Forwarded-"):
			return true
		}
	}
	return false
}
