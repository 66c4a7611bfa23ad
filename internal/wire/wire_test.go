package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// frames are of every kind and of every form of length.
var frames = []Frame{
	Text("hello"), Text("frag").More(), Ping("p"), Continuation("ment"), Pong(""),
	Binary(strings.Repeat("b", 126)).Reserved(4), Binary(strings.Repeat("c", 1<<16)),
	{Op: 3, Fin: true}, Close(1000, "bye"), EmptyClose(),
}

func TestWhatIsEncodedIsRead(t *testing.T) {
	for _, masked := range []bool{false, true} {
		stream := bytes.NewReader(Encode(masked, frames...))
		for _, want := range frames {
			if got, err := Read(stream, masked); got != want || err != nil {
				t.Errorf("masked %v: read %v, %v, want %v", masked, got, err, want)
			}
		}
		if _, err := Read(stream, masked); err != io.EOF {
			t.Errorf("masked %v: the end of the stream is %v, want io.EOF", masked, err)
		}
	}
}

func TestPartsOfFramesAreToldFromTheEnd(t *testing.T) {
	whole := Encode(true, Text("hello"))
	for n := 1; n < len(whole); n++ {
		if _, err := Read(bytes.NewReader(whole[:n]), true); err != io.ErrUnexpectedEOF {
			t.Errorf("%d of %d bytes: %v, want io.ErrUnexpectedEOF", n, len(whole), err)
		}
	}
}

func TestWrongMaskIsFound(t *testing.T) {
	for _, masked := range []bool{false, true} {
		if _, err := Read(bytes.NewReader(Encode(masked, Text("x"))), !masked); !errors.Is(err, ErrMask) {
			t.Errorf("masked %v: %v, want ErrMask", masked, err)
		}
	}
}

func TestDataLeavesControlFramesOut(t *testing.T) {
	want := Encode(true, Text("a").More(), Continuation("b"))
	if got := Data(Encode(true, Ping("p"), Text("a").More(), Pong("q"), Continuation("b"), EmptyClose())); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

// The example of RFC 6455 1.3.
func TestAccept(t *testing.T) {
	if got, want := Accept(Key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRequestIsAnswered(t *testing.T) {
	r, err := ParseRequest(Request("X-A: b"))
	if err != nil || r.Header.Get("X-A") != "b" || r.Host != "service.example" {
		t.Fatalf("the request is %v, %v", r, err)
	}
	if got, field := Answer(r, "X-C: d"), "Sec-WebSocket-Accept: "+Accept(Key); !strings.Contains(got, field) || !strings.HasSuffix(got, "X-C: d\r\n\r\n") {
		t.Errorf("the answer is %q", got)
	}
}
