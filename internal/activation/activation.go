// Package activation takes over sockets that systemd has opened for this process.
// The protocol is that of sd_listen_fds(3): the environment says how many sockets
// there are and what their names are, and their descriptors follow standard error.
// Listener finds the socket with a given name and checks that it can accept clients.
package activation

import (
	"errors"
	"fmt"
	"net/netip"
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

// Listener returns the socket of that name that systemd has passed to this process.
// environ is the environment of the process. The text of an error continues a message
// that begins with the variable and its value.
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

// passedSockets returns the names of the sockets that systemd passed to process pid, in
// the order of their descriptors.
func passedSockets(environ []string, pid int) (names []string, err error) {
	said := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		said[name] = value
	}
	count, err := strconv.ParseUint(said["LISTEN_FDS"], 10, 16)
	switch {
	case said["LISTEN_PID"] == "" && said["LISTEN_FDS"] == "":
		return nil, errors.New("needs a socket from systemd, which passed none; start the socket unit")
	case said["LISTEN_PID"] != strconv.Itoa(pid):
		return nil, fmt.Errorf("needs a socket from systemd, but systemd passed its sockets to process LISTEN_PID=%s, and this is process %d; start Holdfast without another program in between",
			shown.Quoted(said["LISTEN_PID"]), pid)
	case err != nil:
		return nil, fmt.Errorf("needs a socket from systemd, but LISTEN_FDS=%s is not a number of sockets; start the socket unit", shown.Quoted(said["LISTEN_FDS"]))
	}
	if said["LISTEN_FDNAMES"] == "" {
		return slices.Repeat([]string{"unknown"}, int(count)), nil // as sd_listen_fds_with_names does
	}
	names = strings.Split(said["LISTEN_FDNAMES"], ":")
	if len(names) != int(count) {
		return nil, fmt.Errorf("needs a socket from systemd, but LISTEN_FDNAMES=%s does not name LISTEN_FDS=%d sockets; start the socket unit",
			shown.Quoted(said["LISTEN_FDNAMES"]), count)
	}
	return names, nil
}

// onlySocket returns the index of name in names. It returns an error unless name occurs
// exactly once.
func onlySocket(name string, names []string) (int, error) {
	i := slices.Index(names, name)
	switch {
	case i < 0:
		return 0, fmt.Errorf("is not among the sockets that systemd passed, %s; set FileDescriptorName in the socket unit",
			shown.Quoted(strings.Join(names, ":")))
	case slices.Contains(names[i+1:], name):
		return 0, errors.New("names more than one of the sockets that systemd passed; give each socket its own unit with its own FileDescriptorName")
	}
	return i, nil
}

// checkListening returns an error if clients cannot be accepted on fd.
func checkListening(fd int) error {
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return fmt.Errorf("is descriptor %d, which is not a socket (%w); use ListenStream in the socket unit", fd, err)
	}
	if kind != syscall.SOCK_STREAM {
		return errors.New("is not a stream socket; use ListenStream in the socket unit")
	}
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return errors.New("does not listen; set Accept=no in the socket unit")
	}
	domain, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_DOMAIN)
	if err != nil || !slices.Contains([]int{syscall.AF_INET, syscall.AF_INET6, syscall.AF_UNIX}, domain) {
		return errors.New("is neither a TCP nor a unix socket; set ListenStream to a port or a path in the socket unit")
	}
	protocol, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
	if err != nil || domain != syscall.AF_UNIX && protocol != syscall.IPPROTO_TCP { // MPTCP does not support TCP_USER_TIMEOUT
		return errors.New("is a socket of a protocol other than TCP; remove SocketProtocol from the socket unit")
	}
	return nil
}

// Address returns where a socket listens: host:port, or unix: and a path.
func Address(socket *os.File) (string, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return "", err
	}
	var at syscall.Sockaddr
	if ctl := raw.Control(func(fd uintptr) { at, err = syscall.Getsockname(int(fd)) }); ctl != nil || err != nil {
		return "", errors.Join(ctl, err)
	}
	switch at := at.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)).String(), nil
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(at.Addr), uint16(at.Port)).String(), nil
	case *syscall.SockaddrUnix:
		return "unix:" + at.Name, nil
	}
	return "", errors.New("the socket has no address that is known here")
}
