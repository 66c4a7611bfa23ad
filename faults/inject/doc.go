// Package inject makes the system calls of the running binary fail, one kind of call and
// one error at a time. Linux on amd64 and ptrace are needed; the build tag faults keeps
// the package out of `go test ./...`. `make inject` runs it and prints the table.
//
// The path through it: calls_test.go lists the calls, the errors of each by its manual
// page, what the process does not survive, and what is left out, each with its reason.
// rig_test.go starts the binary between a service and clients (load_test.go), and opens
// the witnesses: sessions whose own descriptors are never failed, so that they must live.
// tracer_test.go is a second process that stops the binary at each of its calls, as
// strace does. inject_test.go puts them together: one process of the binary for each call
// and error, and one fault after the other in it.
//
// strace -e inject= is not used, for three reasons. It counts calls by thread, and the Go
// runtime moves a loop from thread to thread. It cannot tell the calls of one descriptor,
// or of one operation, from those of another. It skips the call that it fails, and so a
// close that fails would leave a descriptor open, which no close on Linux does.
package inject
