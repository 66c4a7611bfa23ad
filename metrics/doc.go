// Package metrics holds the instruments of the proxy and shows them to Prometheus.
//
// Counts are kept apart for each event loop, in a [Loop] whose memory no other
// loop writes, and are added up when somebody scrapes. So counting a frame costs
// a few uncontended atomic adds, and a scrape never makes a loop wait. Durations
// go to histograms that all loops share: they are off the path of a frame.
//
// The way of a count: the loop calls a method of its Loop (loop.go), the value's
// label comes from a closed list (labels.go), and [Metrics.Handler] adds it up
// and writes it out (collect.go).
//
// Every legal label pair is there from the start, at 0, and no other ever appears:
// labels are enums, RFC 6455 opcodes, bucketed close codes and the configured
// upstreams. Nothing that a peer sends can create a series.
//
// At every scrape, exactly,
//
//	sessions_opened_total = sessions_active + sum(sessions_closed_total) + sum(sessions_dropped_total)
//
// The package knows no proxy type, and decides nothing.
package metrics
