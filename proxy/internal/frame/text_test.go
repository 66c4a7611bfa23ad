package frame

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestGather(t *testing.T) {
	frames := func(all ...wire) (b []byte) {
		for _, f := range all {
			b = append(b, f.bytes(true)...)
		}
		return b
	}
	const unfinished = text &^ fin
	const continuation, last = 0, fin
	const ping = fin | 0x9
	whole := wire{first: text, payload: "ping"}
	for name, test := range map[string]struct {
		b       []byte
		found   Gathered
		payload string
		at      int
		size    int
		frames  int
	}{
		"a whole message":             {frames(whole, whole), Whole, "ping", 0, 10, 1},
		"an empty one":                {frames(wire{first: text}), Whole, "", 0, 6, 1},
		"fragments":                   {frames(wire{first: unfinished, payload: "pi"}, wire{first: continuation}, wire{first: last, payload: "ng"}), Whole, "ping", 0, 8 + 6 + 8, 3},
		"two fragments":               {frames(wire{first: unfinished, payload: "pi"}, wire{first: continuation, payload: "n"}), Part, "pin", 0, 0, 2},
		"the first byte":              {frames(whole)[:1], Part, "", 0, 0, 0},
		"a part of the payload":       {frames(whole)[:8], Part, "pi", 0, 0, 0},
		"a part of a control frame":   {append(frames(wire{first: unfinished, payload: "pi"}), frames(wire{first: ping, payload: "a"})[:6]...), Part, "pi", 0, 0, 1},
		"a control frame in between":  {frames(wire{first: unfinished, payload: "pi"}, wire{first: ping, payload: "abc"}), Between, "pi", 8, 9, 1},
		"another message in between":  {frames(wire{first: unfinished, payload: "pi"}, whole), Wrong, "pi", 8, 0, 1},
		"a bad Close in between":      {frames(wire{first: unfinished, payload: "pi"}, wire{first: fin | 0x8, payload: "\x03\xed"}), Wrong, "pi", 8, 8, 1},
		"the longest":                 {frames(wire{first: text, payload: strings.Repeat("x", MaxText)}), Whole, strings.Repeat("x", MaxText), 0, MaxGathered, 1},
		"one byte more":               {frames(wire{first: text, payload: strings.Repeat("x", MaxText+1)}), Large, "", 0, 0, 0},
		"too many fragments":          {frames(append([]wire{{first: unfinished}}, repeated(wire{first: continuation}, 172)...)...), Large, "", 0, 0, 172},
		"the length of a large frame": {frames(wire{first: text, payload: strings.Repeat("x", 1<<16)})[:14], Large, "", 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewScanner(true, false)
			s.Watch()
			var counts Counts
			r := s.Scan(test.b, &noLimits, NoGap, &counts)
			if r != (Result{Stop: Message}) || counts != (Counts{}) {
				t.Fatalf("Scan returns %+v, want it to stop at the message", r)
			}
			before := string(test.b)
			got := s.Gather(test.b, &noLimits, nil)
			if got.Found != test.found || string(got.Payload) != test.payload || got.At != test.at || got.Size != test.size || got.Frames != test.frames {
				t.Errorf("got %+v, want %+v", got, test)
			}
			if string(test.b) != before {
				t.Error("the bytes have changed")
			}
			if between := name == "two fragments"; test.found == Part && got.EndsFrame(test.b) != between {
				t.Errorf("it ends with a whole frame: %t, want %t", !between, between)
			}
			if (got.Violation != nil) != (test.found == Wrong) {
				t.Errorf("the broken rule is %v", got.Violation)
			}
			s.Skip()
			if r := s.Scan(test.b, &noLimits, NoGap, &counts); r.Stop == Message && r.Pass == 0 {
				t.Error("Scan stops again at the message that it is to skip")
			}
		})
	}
}

// A message is gathered the same, whether or not control frames stood between its fragments,
// and no fragment is looked at twice.
func TestGatherResumes(t *testing.T) {
	fragments := []wire{
		{first: text &^ fin, payload: "p"}, {first: 0}, {first: 0, payload: "in"}, {first: fin, payload: "g"},
	}
	ping := wire{first: fin | 0x9, payload: "abc"}.bytes(true)
	for name, test := range map[string]struct {
		last  []wire // behind the first three fragments
		found Gathered
	}{
		"to the end":        {fragments[3:], Whole},
		"to a part":         {nil, Part},
		"to a broken frame": {fragments[:1], Wrong},
		"to a large frame":  {[]wire{{first: fin, payload: strings.Repeat("x", MaxText)}}, Large},
	} {
		t.Run(name, func(t *testing.T) {
			var b, plain []byte
			for _, f := range append(slices.Clip(fragments[:3]), test.last...) {
				b, plain = append(append(b, f.bytes(true)...), ping...), append(plain, f.bytes(true)...)
			}
			s := NewScanner(true, false)
			want := s.Gather(plain, &noLimits, nil)
			got := s.Gather(b, &noLimits, nil)
			for got.Found == Between {
				b = slices.Delete(b, got.At, got.At+got.Size)
				for i := range b[:got.At] {
					b[i] = 0xff
				}
				got.Resume(b, &noLimits)
			}
			if !reflect.DeepEqual(got, want) || got.Found != test.found {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func repeated(f wire, n int) (all []wire) {
	for range n {
		all = append(all, f)
	}
	return all
}

// Scan stops at the beginnings of uncompressed text messages, and nowhere else.
func TestWatchedScan(t *testing.T) {
	var b []byte
	for _, first := range []byte{fin | 0x2, text &^ fin, 0, fin, text | rsv1, text} {
		b = append(b, wire{first: first, payload: "ping"}.bytes(false)...)
	}
	s := NewScanner(false, true)
	s.Watch()
	var counts Counts
	var stops []int
	for at := 0; at < len(b); {
		r := s.Scan(b[at:], &noLimits, NoGap, &counts)
		at += r.Pass
		if r.Stop == Message {
			stops = append(stops, at/6)
			s.Skip()
		}
	}
	if len(stops) != 2 || stops[0] != 1 || stops[1] != 5 {
		t.Errorf("Scan stops at the frames %v, want 1 and 5", stops)
	}
	if counts[opText] != 3 || counts[opContinuation] != 2 || counts[opBinary] != 1 {
		t.Errorf("it counts %v", counts)
	}
}
