package proxy

import (
	"errors"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A socketFile is the file of a unix socket, as it was when it was found or made.
// Other processes may remove it and put their own in its place. The zero
// socketFile is none.
type socketFile struct {
	path string
	info fs.FileInfo
}

// bindUnix makes a unix socket, in the place of one whose process is gone.
func bindUnix(path string) (net.Listener, socketFile, error) {
	if err := removeStale(path); err != nil {
		return nil, socketFile{}, err
	}
	made, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, socketFile{}, err
	}
	made.SetUnlinkOnClose(false) // it goes when the descriptor taken from it does
	file, err := socketAt(path)
	if err != nil {
		_ = made.Close() // the first error is the one to tell
		return nil, socketFile{}, err
	}
	return made, file, nil
}

// removeStale removes the socket of a process that is gone. One that somebody
// listens on stays, as does whatever is no socket, and binding will fail.
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

// socketAt finds what is at path now.
func socketAt(path string) (socketFile, error) {
	info, err := os.Lstat(path)
	return socketFile{path, info}, err
}

// remove removes the file if it is still the same: of that device and inode. While
// its socket is open, its inode cannot become another file's.
func (f socketFile) remove() error {
	if f.info == nil {
		return nil
	}
	now, err := socketAt(f.path)
	if err != nil || !os.SameFile(f.info, now.info) {
		return nil // somebody removed it, or put another in its place
	}
	return os.Remove(f.path)
}
