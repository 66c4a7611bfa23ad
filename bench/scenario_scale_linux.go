package main

import "fmt"

var scaleScenario = scenario{
	name:    "scale",
	about:   "what an idle session takes of the machine's memory",
	once:    true,
	figures: scaleFigures,
	run:     runScale,
}

// Keys of the figures of the scenario scale.
const (
	scaleProcess = "process"
	scaleCaches  = "kernel-slabinfo"
	scaleSlab    = "kernel-meminfo"
	scaleBuffers = "kernel-sockstat"
)

func scaleFigures(p params) []figure {
	per := fmt.Sprintf(" per idle session, at %s", grouped(p.Sessions))
	return []figure{
		{Key: scaleProcess, Title: "memory of the proxy's processes" + per, Unit: "B"},
		// The kernel's part is the same for all proxies. Differences come from the
		// machine's other work.
		{Key: scaleCaches, Title: "kernel memory for its two sockets" + per + ", /proc/slabinfo", Unit: "B", NoRatio: true},
		{Key: scaleSlab, Title: "kernel memory for its two sockets" + per + ", Slab in /proc/meminfo", Unit: "B", NoRatio: true},
		{Key: scaleBuffers, Title: "buffers of its two sockets" + per + ", /proc/net/sockstat", Unit: "B", NoRatio: true},
	}
}

// runScale opens as many sessions without the proxy as through it, and subtracts: the
// kernel's figures are of the whole machine, and include the sockets of load and backend.
func runScale(c *client, p params) (map[string]float64, error) {
	if !c.meter.present() {
		return nil, nil
	}
	if _, err := idleMemory(c, p, firstSessions(p)); err != nil {
		return nil, err
	}
	past := &client{loop: c.loop, proxy: c.backend, backend: c.backend}
	ends, err := measureGrowth(past, p, p.Sessions-firstSessions(p))
	if err != nil {
		return nil, fmt.Errorf("without the proxy: %w", err)
	}
	whole, err := measureGrowth(c, p, p.Sessions-firstSessions(p))
	if err != nil {
		return nil, err
	}
	values := whole.perSession()
	for key, value := range ends.perSession() {
		values[key] -= value
	}
	return values, past.failure()
}

// A growth is how much memory a number of further idle sessions have taken.
type growth struct {
	sessions      int
	process       float64 // bytes
	before, after kernelMemory
}

func measureGrowth(c *client, p params, sessions int) (growth, error) {
	g := growth{sessions: sessions}
	before, err := c.meter.memory()
	if err != nil {
		return g, err
	}
	if g.before, err = readKernelMemory(); err != nil {
		return g, err
	}
	after, err := idleMemory(c, p, sessions)
	if err != nil {
		return g, err
	}
	g.process = float64(after) - float64(before)
	g.after, err = readKernelMemory()
	return g, err
}

// perSession returns the growth for each session in bytes, by the figure's key. A figure
// that could not be read is missing.
func (g growth) perSession() map[string]float64 {
	n := float64(g.sessions)
	values := map[string]float64{
		scaleProcess: g.process / n,
		scaleSlab:    (float64(g.after.slab) - float64(g.before.slab)) / n,
		scaleBuffers: (float64(g.after.buffers) - float64(g.before.buffers)) / n,
	}
	if g.after.caches != nil {
		values[scaleCaches] = cachesGrown(g.before.caches, g.after.caches, g.sessions) / n
	}
	return values
}
