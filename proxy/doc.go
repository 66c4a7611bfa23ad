// The world outside. seams.go says what a loop needs from the kernel, a connection, the
// clock, and the jobs beside it. kernel_linux.go, clock_linux.go and random.go are the
// real kernel, clock and source of random bytes; tests replace them.
package proxy
