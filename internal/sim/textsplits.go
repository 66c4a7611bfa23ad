package main

// splitRules are what the proxy answers in the exhaustive part.
const splitRules = "hi=>oh!;;id*?=>"

// noOpcode is one that RFC 6455 has no frame for.
const noOpcode = 3

// texts are conversations that begin with a message about a rule, or nearly so.
var texts = [][]shape{
	{{0x80 | opText, "hi"}, {0x80 | opBinary, "d"}},
	{{0x80 | opText, "ho"}, {0x80 | opText, "hi"}},
	{{0x80 | opText, "hi"}, {0x80 | opText, "hi!"}},
	{{0x80 | opText, ""}, {0x80 | opText, "hi"}},
	{{0x80 | opText, "id\u00fc?"}, {0x80 | opPing, "p"}},
	{{0x80 | opText, "id\xc3(?"}, {0x80 | opPing, "p"}},
	{{opText, "h"}, {0x80 | opContinuation, "i"}},
	{{opText, ""}, {opContinuation, "hi"}, {0x80 | opContinuation, ""}},
	{{opText, "h"}, {0x80 | opPing, "p"}, {0x80 | opContinuation, "i"}},
	{{opText, "h"}, {0x80 | opPing, "p"}, {0x80 | opContinuation, "o"}},
	{{opText, "h"}, {0x80 | opPong, "q"}, {0x80 | opContinuation, "i!"}},
	{{opText, "x"}, {0x80 | opContinuation, ""}, {0x80 | opText, "hi"}},
	{{opText, "h"}, {0x80 | opClose, ""}},
	{{opText, "h"}, {0x80 | noOpcode, ""}},
	{{0x80 | opText, "hi"}, {0x80 | opClose, "\x03\xe8"}},
}

// textSplits calls play with a conversation cut in every way, or at every one and two places
// if it is long. The receiver takes all at once, or acts in between.
func textSplits(s split, play func(split)) {
	size := 0
	for _, f := range s.frames {
		size += f.size(s.side)
	}
	cut := func(cuts uint) {
		for _, steps := range [][]step{nil, {drains, answers}, {answers, drains}} {
			s.cuts, s.steps = cuts, steps
			play(s)
		}
	}
	if size <= mostBytes {
		for cuts := range uint(1) << (size - 1) {
			cut(cuts)
		}
		return
	}
	for a := range size - 1 {
		for b := range a + 1 {
			cut(1<<a | 1<<b)
		}
	}
}

// wantsAnswers checks that each message about a rule has its answer, unless the end of the
// session was begun.
func (p *peer) wantsAnswers(s split) {
	last := s.frames[len(s.frames)-1].first & 0xf
	if n := len(p.appl.owed); n > 0 && last != opClose && last != noOpcode {
		p.w.fails("%v has no answer to %d of its messages", p.side, n)
	}
}
