package preface

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"github.com/pires/go-proxyproto"
)

// FuzzHeader: the verdict does not depend on how bytes arrive; a source is what
// the library reads; and written anew by the library, it stays the same.
func FuzzHeader(f *testing.F) {
	for _, h := range headers {
		f.Add([]byte(h.bytes))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkEnd(t, string(data))
		end, err := End(data)
		if err != nil || end == 0 {
			return
		}
		header := data[:end]
		source, known, err := Source(header)
		read, readErr := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
		if err != nil {
			if readErr == nil && !errors.Is(err, errVector) && !errors.Is(err, errChecksum) {
				t.Fatalf("%q: %v, but the library reads %+v", header, err, read)
			}
			return
		}
		if !known {
			return
		}
		if got := read.SourceAddr.String(); got != source.String() {
			t.Fatalf("%q: %v, but the library reads %s", header, source, got)
		}
		anew, err := read.Format()
		if err != nil {
			t.Fatalf("%q: %v", header, err)
		}
		if n, err := End(anew); n != len(anew) || err != nil {
			t.Fatalf("%q, written anew as %q: End %d, %v", header, anew, n, err)
		}
		again, known, err := Source(anew)
		if again != source || !known || err != nil {
			t.Fatalf("%q, written anew as %q: %v, %t, %v; want %v", header, anew, again, known, err, source)
		}
	})
}
