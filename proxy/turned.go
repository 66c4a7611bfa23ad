package proxy

// Turned reports whether every loop has turned since the call before. A loop that hangs
// makes it return false until the loop turns again. A loop that has ended does not owe a
// turn. The first call returns true.
//
// Turned waits for nothing. It gives each loop a job that the next call looks for.
func (s *Server) Turned() bool {
	all := true
	for _, l := range s.loops {
		all = l.hasTurned() && all
	}
	return all
}

// hasTurned is Turned for one loop. Any goroutine may call it.
func (l *loop) hasTurned() bool {
	if !l.owesTurn.CompareAndSwap(false, true) {
		return false
	}
	if !l.post(l.noteTurn) {
		l.noteTurn()
	}
	return true
}

func (l *loop) noteTurn() { l.owesTurn.Store(false) }
