package proxy

import (
	"testing"
	"unsafe"
)

// What an idle session costs is mostly this struct: a field more is paid for a
// million times.
func TestSessionSize(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 480 {
		t.Errorf("a session has %d bytes, want at most 480, which is a size class", size)
	}
}
