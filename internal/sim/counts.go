package main

// A count is a counter of one upstream's at the end.
type count struct {
	name   string
	labels map[string]string
	n      int
}

// wantsNothingCounted: no target counts anything at the end, and what is counted for each
// upstream adds up to what is counted for all.
func (w *World) wantsNothingCounted(counted []count) {
	for address, load := range w.proxy.Loads() {
		if load != 0 {
			w.fails("%s counts %d handshakes and sessions at the end", address, load)
		}
	}
	opened, dropped := map[string]int{}, map[string]int{} // by upstream
	for _, e := range w.ended {
		opened[e.Upstream]++
		if !e.Closed && e.Side == service {
			dropped[e.Upstream+" "+e.Reason.String()]++
		}
	}
	for _, c := range counted {
		switch c.name {
		case "holdfast_upstream_handshakes_total":
			if c.labels["result"] == "ok" && c.n != opened[c.labels["upstream"]] {
				w.fails("%d handshakes of %s are counted, and %d sessions have ended", c.n, c.labels["upstream"], opened[c.labels["upstream"]])
			}
		case "holdfast_upstream_sessions_dropped_total":
			if want := dropped[c.labels["upstream"]+" "+c.labels["reason"]]; c.n != want {
				w.fails("%d sessions of %s are counted as dropped for %s, and there were %d", c.n, c.labels["upstream"], c.labels["reason"], want)
			}
		}
	}
}
