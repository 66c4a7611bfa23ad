// Package faults runs the holdfast binary in networks that slow down, lose what
// they are given and come back, between peers that read slowly, freeze and flood.
// Everything takes real time here: `make faults` some minutes, `make soak` as long
// as it is told to. Linux and root are needed; the build tag faults keeps both
// out of `go test ./...`.
//
// The path through it: newNetwork (network_test.go) makes namespaces in a row,
//
//	client - near router - proxy - far router - upstream
//
// startHoldfast (holdfast_test.go) puts the proxy into the middle one, and startPeer
// (peer_test.go) a peer into one at the end. A peer is this package's own test
// binary, started once more inside its namespace (program_test.go): it runs the
// sessions of a behaviour (session_test.go), is told what to do and tells what
// happened, one JSON object a line. Tests wait for what is told. They wait for time
// to pass only where the fault itself is time.
//
// soak_test.go and its kin take as long as they are told to, and hold what the proxy has at
// the end against what it had (trend_test.go). compare_test.go puts other proxies beside it,
// with the configurations of peers/. Package inject makes its system calls fail.
//
// The namespaces have no names. Each lives as long as the process that holds it,
// whose input is a pipe from the tests: whatever becomes of them, nothing is left.
package faults
