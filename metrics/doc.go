// Package metrics holds the instruments of the proxy and exposes them to Prometheus.
//
// Each event loop counts in a [Loop] of its own, to which no other loop writes. A scrape
// adds them up. So counting a frame costs a few uncontended atomic adds, and a scrape
// never makes a loop wait. Durations go to histograms that all loops share, since no
// frame observes one.
//
// The path of a count: the loop calls a method of its Loop (loop.go), the value's
// label comes from a closed list (labels.go), and [Metrics.Handler] adds the counts up
// and writes the sum (collect.go).
//
// Every legal label pair exists from the start, at 0, and no other ever appears: labels
// are enums, RFC 6455 opcodes, bucketed close codes and the configured upstreams.
// Nothing that a peer sends can create a series.
//
// The following holds exactly at every scrape:
//
//	sessions_opened_total = sessions_active + sum(sessions_closed_total) + sum(sessions_dropped_total)
//
// The package imports nothing of the proxy, and decides nothing.
package metrics
