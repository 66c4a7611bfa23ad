package shown

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestUnreadable(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOENT:  "does not exist; put the file there or correct the path",
		syscall.EACCES:  fmt.Sprintf("may not be read by user %d, as which this process runs; allow it", os.Geteuid()),
		syscall.EISDIR:  "is a directory; name a file in it",
		syscall.ENOTDIR: "cannot be read: not a directory; correct the path",
	} {
		if got := Unreadable(&fs.PathError{Op: "open", Path: "/a", Err: err}); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}
