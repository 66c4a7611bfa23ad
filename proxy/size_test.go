package proxy

import (
	"testing"
	"unsafe"
)

// What an idle session costs is mostly this struct: a field more is paid for a
// million times.
func TestSessionSize(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 512 {
		t.Errorf("a session has %d bytes, want at most 512, which is a size class", size)
	}
}
