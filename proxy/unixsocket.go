package proxy

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A socketFile is the file of a unix socket, as it was when it was found or made. Other
// processes may remove the file and put their own in its place. The zero socketFile
// stands for none.
type socketFile struct {
	path string
	info fs.FileInfo
}

// bindUnix makes a unix socket whose file has that mode; 0 leaves it to the umask. It
// replaces the socket of a process that has ended.
func bindUnix(path string, mode fs.FileMode) (net.Listener, socketFile, error) {
	if err := removeStale(path); err != nil {
		return nil, socketFile{}, err
	}
	made, err := listenUnix(path, mode)
	if err != nil {
		return nil, socketFile{}, err
	}
	file, err := socketAt(path)
	if err == nil && mode != 0 {
		err = os.Chmod(path, mode) // with what the umask has taken away
	}
	if err != nil {
		_ = made.Close()  // err is the error to return
		_ = file.remove() // the same
		return nil, socketFile{}, err
	}
	return made, file, nil
}

// listenUnix makes the socket and its file. From the start the file has no permission that
// mode does not have: bind gives it those of the socket, without those of the umask.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	var how net.ListenConfig
	if mode != 0 {
		how.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			return errors.Join(raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode)) }), err)
		}
	}
	made, err := how.Listen(context.Background(), "unix", path)
	if err == nil {
		made.(*net.UnixListener).SetUnlinkOnClose(false) // listener.close removes the file
	}
	return made, err
}

// removeStale removes the socket of a process that has ended. It leaves a socket that a
// process listens on, and any other file; binding fails then.
func removeStale(path string) error {
	file, err := socketAt(path)
	if err != nil || file.info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return nil
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	return file.remove()
}

// socketAt returns the file that is at path now.
func socketAt(path string) (socketFile, error) {
	info, err := os.Lstat(path)
	return socketFile{path, info}, err
}

// remove removes the file if it still is the one that f describes: the same device and
// inode. While the file's socket is open, no other file gets its inode.
func (f socketFile) remove() error {
	if f.info == nil {
		return nil
	}
	now, err := socketAt(f.path)
	if err != nil || !os.SameFile(f.info, now.info) {
		return nil // another process has removed it, or replaced it
	}
	return os.Remove(f.path)
}
