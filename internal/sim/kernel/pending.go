package kernel

// Pending reports whether a Poll may return events.
func (p *Poller) Pending() bool { return len(p.list) > 0 }
