package frame

import (
	"fmt"
	"testing"

	"github.com/gobwas/ws"
)

// outcome is what becomes of a stream, however it is chunked: the bytes passed
// on and the control frames cut out, in their order.
type outcome struct {
	runs                 []run
	violation            *Violation
	counts               Counts
	held                 string // left over for a chunk that did not come
	midFrame, midMessage bool
}

func (o outcome) String() string {
	reason := "none"
	if o.violation != nil {
		reason = o.violation.Reason
	}
	return fmt.Sprintf("runs %v, violation: %s, counts %v, held % x, mid-frame %t, mid-message %t", o.runs, reason, o.counts, o.held, o.midFrame, o.midMessage)
}

type run struct {
	control bool
	bytes   string
}

func (r run) String() string {
	if r.control {
		return fmt.Sprintf("control % x", r.bytes)
	}
	return fmt.Sprintf("passed % x", r.bytes)
}

func (o *outcome) pass(b []byte) {
	if len(b) == 0 {
		return
	}
	if last := len(o.runs) - 1; last >= 0 && !o.runs[last].control {
		o.runs[last].bytes += string(b)
		return
	}
	o.runs = append(o.runs, run{bytes: string(b)})
}

// driver scans chunks as an event loop does: what Scan leaves goes in front of
// the next chunk, and nothing is scanned after a Close or a violation.
type driver struct {
	t       *testing.T
	scanner Scanner
	limits  Limits
	gap     Gap
	done    bool
	outcome
	boundaries []int // where Scan stopped for one, in bytes passed on
	passed     int
}

func (d *driver) feed(chunk []byte) {
	if d.done {
		return
	}
	b := append([]byte(d.held), chunk...)
	for len(b) > 0 && !d.done {
		before := string(b)
		r := d.scanner.Scan(b, &d.limits, d.gap, &d.counts)
		if string(b) != before {
			d.t.Fatalf("Scan wrote to its input:\n% x\n% x", before, b)
		}
		b = d.apply(r, b)
		if r.Stop == More {
			break
		}
	}
	if len(b) > maxUnread {
		d.t.Fatalf("%d bytes held, more than maxUnread", len(b))
	}
	d.held = string(b)
	d.midFrame, d.midMessage = d.scanner.MidFrame(), d.scanner.MidMessage()
}

// apply does what r asks for, and returns what is still to be scanned.
func (d *driver) apply(r Result, b []byte) []byte {
	d.pass(b[:r.Pass])
	d.passed += r.Pass
	b = b[r.Pass:]
	if (r.Violation != nil) != (r.Stop == Broken) || (r.Size > 0) != (r.Stop == Control) {
		d.t.Fatalf("result contradicts itself: %+v", r)
	}
	switch r.Stop {
	case More:
	case Boundary:
		if r.Pass == 0 || !d.scanner.At(d.gap) {
			d.t.Fatalf("not a gap that was asked for: %+v", r)
		}
		d.boundaries = append(d.boundaries, d.passed)
	case Control:
		d.runs = append(d.runs, run{control: true, bytes: string(b[:r.Size])})
		d.done = ws.OpCode(b[0]&opcode) == ws.OpClose
		b = b[r.Size:]
	case Message:
		d.t.Fatal("it stops at a message, and is not watched")
	case Broken:
		d.violation = r.Violation
		d.done = true
	}
	if d.done {
		return nil
	}
	return b
}
