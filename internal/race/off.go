//go:build !race

// Package race is for tests: it says whether the race detector is on. With it tests
// run in full that a plain `go test` runs in part, since `make race` has time. Under
// it a sync.Pool forgets at random what it is given, so allocations differ.
package race

// Enabled says that the race detector is off.
const Enabled = false
