package web

import "time"

// net/http asks for no deadline in some of its waits for a client: while it reads the rest
// of a body whose answer has overtaken it, and while it refuses a head in its own words.
// So the guest gives a deadline to each wait outside of a handler. A handler bounds its
// waits itself, by its reply's deadlines and by the request's progress.

// enterHandler lifts all deadlines.
func (g *Guest) enterHandler() {
	g.inHandler.Store(true)
	g.endBy.Store(nil)
	_ = g.Conn.SetDeadline(time.Time{}) // it fails only on a closed connection
}

// leaveHandler bounds what net/http still reads before the connection's next request or
// its end. The deadline for the end of the answer is the reply's. closing says that the
// connection ends with the answer.
func (g *Guest) leaveHandler(patience time.Duration, closing bool) {
	by := time.Now().Add(patience)
	g.endBy.Store(&by)
	g.inHandler.Store(false)
	if closing {
		_ = g.Conn.SetReadDeadline(by) // it fails only on a closed connection
	}
}

// becomesIdle ends what follows an answer: the connection is ready for the next request.
func (g *Guest) becomesIdle() { g.endBy.Store(nil) }

// afterAnswer returns when what follows an answer must be over. It returns nil while a
// handler runs, and while the connection is ready for the next request.
func (g *Guest) afterAnswer() *time.Time {
	if g.inHandler.Load() {
		return nil
	}
	return g.endBy.Load()
}

// SetReadDeadline is the connection's. But no deadline means one, unless a handler runs.
func (g *Guest) SetReadDeadline(by time.Time) error {
	if by.IsZero() && !g.inHandler.Load() {
		by = time.Now().Add(g.headTime)
		if end := g.afterAnswer(); end != nil {
			by = *end
		}
	}
	return g.Conn.SetReadDeadline(by)
}

// SetWriteDeadline is the connection's. But net/http does not end the reply's deadline.
func (g *Guest) SetWriteDeadline(by time.Time) error {
	if by.IsZero() && !g.inHandler.Load() {
		return nil
	}
	return g.Conn.SetWriteDeadline(by)
}

// boundWrite gives the client its time to take a refusal that is net/http's own.
func (g *Guest) boundWrite() {
	if !g.inHandler.Load() && g.endBy.Load() == nil {
		_ = g.Conn.SetWriteDeadline(time.Now().Add(g.headTime)) // it fails only on a closed connection
	}
}

// setAnswering counts the guest among those whose answer a stop would cut.
func (g *Guest) setAnswering(answering bool) {
	switch was := g.answering.Swap(answering); {
	case answering && !was:
		g.answers.Add(1)
	case was && !answering:
		g.answers.Add(-1)
	}
}
