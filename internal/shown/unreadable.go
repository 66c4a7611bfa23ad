package shown

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Unreadable returns why a file cannot be read, and what to do about it. The text follows
// the variable that names the file.
func Unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist; put the file there or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("may not be read by user %d, as which this process runs; allow it", os.Geteuid())
	case errors.Is(err, syscall.EISDIR):
		return "is a directory; name a file in it"
	}
	var op *fs.PathError
	if errors.As(err, &op) {
		err = op.Err // without the path, which the message contains already
	}
	return fmt.Sprintf("cannot be read: %v; correct the path", err)
}
