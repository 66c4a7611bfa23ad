// Package activation takes over sockets that systemd has opened for this process.
// The protocol is that of sd_listen_fds(3): the environment says how many sockets
// there are and what they are called, and their descriptors follow standard error.
// Listener finds the one that is asked for and checks that clients can be accepted
// on it.
package activation

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"holdfast/internal/shown"
)

// firstPassed is the descriptor of the first socket that systemd passes, after
// standard input, output and error: sd_listen_fds(3).
const firstPassed = 3

// Listener returns the socket with that name that systemd has passed to this
// process, whose environment is environ. The text of its errors goes on after the
// variable that asked for the socket and its value.
func Listener(environ []string, name string) (*os.File, error) {
	names, err := passedSockets(environ, os.Getpid())
	if err != nil {
		return nil, err
	}
	for i := range names {
		syscall.CloseOnExec(firstPassed + i)
	}
	i, err := onlySocket(name, names)
	if err != nil {
		return nil, err
	}
	if err := checkListening(firstPassed + i); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(firstPassed+i), name), nil
}

// passedSockets returns the names of the sockets that a process was started
// with, in the order of their descriptors.
func passedSockets(environ []string, pid int) (names []string, err error) {
	said := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		said[name] = value
	}
	count, err := strconv.ParseUint(said["LISTEN_FDS"], 10, 16)
	switch {
	case said["LISTEN_PID"] == "" && said["LISTEN_FDS"] == "":
		return nil, errors.New("wants a socket of systemd, which passed none; start the socket unit")
	case said["LISTEN_PID"] != strconv.Itoa(pid):
		return nil, fmt.Errorf("wants a socket of systemd, which passed them to process LISTEN_PID=%s, and this is %d; let no other program stand in between",
			shown.Quoted(said["LISTEN_PID"]), pid)
	case err != nil:
		return nil, fmt.Errorf("wants a socket of systemd, and LISTEN_FDS=%s is no number of them; start the socket unit", shown.Quoted(said["LISTEN_FDS"]))
	}
	if said["LISTEN_FDNAMES"] == "" {
		return slices.Repeat([]string{"unknown"}, int(count)), nil // as sd_listen_fds_with_names has it
	}
	names = strings.Split(said["LISTEN_FDNAMES"], ":")
	if len(names) != int(count) {
		return nil, fmt.Errorf("wants a socket of systemd, and LISTEN_FDNAMES=%s does not name LISTEN_FDS=%d of them; start the socket unit",
			shown.Quoted(said["LISTEN_FDNAMES"]), count)
	}
	return names, nil
}

// onlySocket returns which of the sockets has that name.
func onlySocket(name string, names []string) (int, error) {
	i := slices.Index(names, name)
	switch {
	case i < 0:
		return 0, fmt.Errorf("is none of the sockets that systemd passed, %s; set FileDescriptorName in the socket unit",
			shown.Quoted(strings.Join(names, ":")))
	case slices.Contains(names[i+1:], name):
		return 0, errors.New("is more than one of the sockets that systemd passed; give each a socket unit with a FileDescriptorName of its own")
	}
	return i, nil
}

// checkListening refuses what clients cannot be accepted on.
func checkListening(fd int) error {
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return fmt.Errorf("is descriptor %d, which is no socket (%w); use ListenStream in the socket unit", fd, err)
	}
	if kind != syscall.SOCK_STREAM {
		return errors.New("is no stream socket; use ListenStream in the socket unit")
	}
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return errors.New("does not listen; set Accept=no in the socket unit")
	}
	domain, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_DOMAIN)
	if err != nil || !slices.Contains([]int{syscall.AF_INET, syscall.AF_INET6, syscall.AF_UNIX}, domain) {
		return errors.New("is a socket of neither TCP nor unix; use a port or a path for ListenStream in the socket unit")
	}
	protocol, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
	if err != nil || domain != syscall.AF_UNIX && protocol != syscall.IPPROTO_TCP { // MPTCP knows no TCP_USER_TIMEOUT
		return errors.New("is a socket of a protocol other than TCP; leave SocketProtocol out of the socket unit")
	}
	return nil
}
