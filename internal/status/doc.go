// Package status keeps what the status page shows beside the present moment: how the last
// sessions ended, and what was counted in the last minutes. It also has the types of the
// page's JSON.
//
// The path of a figure: the daemon calls Book.Sample every SampleEvery, and Book.Ended for
// each session that has ended (book.go). Book.Status compares the present counts with those
// of the oldest sample (window.go) and writes what they differ by (json.go). Book.Ends and
// Book.EndsSince read the ring of ends (ring.go).
//
// The package asks no clock: time is an argument. It knows the proxy by its types alone.
package status
