// Package e2e runs the holdfast binary between peers that know nothing of it:
// Python's websockets, ws and socket.io on Node, libraries with heartbeats of their own,
// a browser, curl, openssl, nginx and HAProxy in front of it, systemd before it, plain HTTP
// clients and servers, and Prometheus, which scrapes it.
//
// `make e2e` installs the peers and runs the tests; they are behind the build
// tag e2e, since `go test ./...` must need nothing but Go.
//
// The path through it: startServer (peer_test.go) or upstreamSaying
// (handshake_test.go) is the service, startHoldfast (holdfast_test.go) the proxy
// before it, startClient (peer_test.go) who connects. All are processes of package
// internal/blackbox. Servers and clients are
// scripts in python and node that speak the same words: they are told what to do,
// and tell what happened, one JSON object a line. A test waits for what is told,
// never for time to pass. Where TLS is spoken, newAuthority (authority_test.go)
// makes the certificates; where a proxy stands in front, startNginx and startHAProxy
// (front_test.go) start it. recipes_test.go runs the configurations of docs/recipes.
// prometheus_test.go has a Prometheus that scrapes proxies, evaluates the alerts of
// deploy/prometheus with shorter times, and is asked what the dashboard asks for.
// opensTab (tab_test.go) drives a browser that looks at the status page. Peers by the
// thousand, and peers that stop inside a frame, are raw ones in the test's own process
// (crowd_test.go).
//
// heartbeats_test.go runs the recipes for heartbeats of applications between clients and services
// of many libraries: one script for all clients on Node (node/heartbeat_client.js), one for all
// services on it (node/heartbeat_server.js), and the pairs for Python and the service in ruby.
// In heartbeats_page_test.go it is the script of a page that has a heartbeat.
//
// Tests of several upstreams count: which service has read which request, and which client
// was at which service. So their services are recorders (recorder_test.go), small servers
// of our own that a test can kill, freeze, cut off and start again (service_test.go), and
// their clients are visitors in the test's own process (visitors_test.go).
//
// With E2E_DIRECT=1 there is no proxy: the clients connect to the service itself.
// Tests that are not about the proxy must pass then too, which shows that the
// peers themselves do what is expected of them.
package e2e
