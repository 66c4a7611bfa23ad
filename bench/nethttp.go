package main

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// runNetHTTP runs the shortest WebSocket proxy in Go: the standard library's reverse proxy
// with its defaults.
func runNetHTTP(arguments []string) error {
	if len(arguments) != 2 && len(arguments) != 4 {
		return errors.New("nethttp needs two addresses, to listen on and to proxy to; for TLS also the files of certificate and key")
	}
	upstream := &url.URL{Scheme: "http", Host: arguments[1]}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
	}
	if len(arguments) == 4 {
		return http.ListenAndServeTLS(arguments[0], arguments[2], arguments[3], proxy)
	}
	return http.ListenAndServe(arguments[0], proxy)
}
