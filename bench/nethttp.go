package main

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// runNetHTTP is the least that proxies WebSocket in Go: the standard library's
// reverse proxy with its defaults.
func runNetHTTP(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("nethttp needs the addresses to listen on and to proxy to")
	}
	upstream := &url.URL{Scheme: "http", Host: arguments[1]}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
	}
	return http.ListenAndServe(arguments[0], proxy)
}
