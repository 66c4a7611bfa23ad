package shown

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Unreadable says why the system refused to read a file, and what to do about it. The
// text goes on after the variable that names the file.
func Unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist; put the file there or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("may not be read by user %d, whom this process runs as; let it", os.Geteuid())
	case errors.Is(err, syscall.EISDIR):
		return "is a directory; name a file in it"
	}
	var op *fs.PathError
	if errors.As(err, &op) {
		err = op.Err // the path is said already
	}
	return fmt.Sprintf("cannot be read: %v; correct the path", err)
}
