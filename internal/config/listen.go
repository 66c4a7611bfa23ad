package config

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/hostport"
	"holdfast/internal/shown"
)

func parseListen(value string) (listenAddress, error) {
	if path, ok := strings.CutPrefix(value, unixScheme); ok {
		path, options, hasOptions := strings.Cut(path, "?")
		path, err := socketPath(path)
		if err == nil && hasOptions {
			path, err = path+"?"+options, checkSocketOptions(options)
		}
		return listenAddress(unixScheme + path), err
	}
	if isOff(value) {
		return "", errors.New(`cannot be switched off, since clients need an address; write for example ":8080"`)
	}
	if name, ok := strings.CutPrefix(value, systemdScheme); ok {
		return listenAddress(value), checkSocketName(name)
	}
	return listenAddress(value), checkHostPort(value, ":", `":8080", "127.0.0.1:8080" or "[::1]:8080"`)
}

// Systemd returns the name of the socket that systemd is to pass. It returns false if a is
// another kind of address.
func (a listenAddress) Systemd() (name string, ok bool) {
	return strings.CutPrefix(string(a), systemdScheme)
}

// modeOption is the one option of a unix socket. The socket's file gets that mode.
const modeOption = "mode="

// checkSocketOptions checks what follows the question mark in unix:/path?mode=0660.
func checkSocketOptions(options string) error {
	digits, isMode := strings.CutPrefix(options, modeOption)
	mode, err := strconv.ParseUint(digits, 8, 32)
	switch {
	case !isMode:
		return errors.New(`has an unknown option; the only one is mode, like "?mode=0660"`)
	case err != nil || mode > uint64(fs.ModePerm):
		return errors.New(`has no valid mode; write it in octal, like "?mode=0660"`)
	case mode&0o222 == 0:
		return errors.New(`has a mode that lets nobody connect, since that needs the permission to write; write for example "?mode=0660"`)
	}
	return nil
}

// Address returns a as package net takes it, or unix: and a path: without options.
func (a listenAddress) Address() string {
	if !strings.HasPrefix(string(a), unixScheme) {
		return string(a)
	}
	address, _, _ := strings.Cut(string(a), "?")
	return address
}

// mode returns the mode that the file of a unix socket gets; 0 means that of the umask.
func (a listenAddress) mode() fs.FileMode {
	_, digits, found := strings.Cut(string(a), "?"+modeOption)
	if !found || !strings.HasPrefix(string(a), unixScheme) {
		return 0
	}
	mode, _ := strconv.ParseUint(digits, 8, 32) // parseListen has checked it
	return fs.FileMode(mode)
}

// checkSocketName accepts what systemd accepts as a FileDescriptorName:
// systemd.socket(5).
func checkSocketName(name string) error {
	isBad := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	switch {
	case name == "":
		return errors.New(`has no name; write the FileDescriptorName of the socket unit, like "systemd:web"`)
	case len(name) > 255 || strings.ContainsFunc(name, isBad):
		return errors.New("has no valid name; systemd's are of up to 255 printable ASCII characters, none of them a colon")
	}
	return nil
}

func parseAdminListen(value string) (adminAddress, error) {
	switch {
	case value == "off":
		return "", nil
	case isOff(value):
		return "", errors.New(`must be host:port or off; write "off"`)
	case strings.HasPrefix(value, unixScheme), strings.HasPrefix(value, systemdScheme):
		return "", errors.New("must be host:port or off; other sockets are for HOLDFAST_LISTEN alone")
	}
	return adminAddress(value), checkHostPort(value, "127.0.0.1:", `"127.0.0.1:8081" or "[::1]:8081"`)
}

// isOff reports whether value is a word with which other programs switch something off.
func isOff(value string) bool {
	words := []string{"off", "no", "none", "false", "disable", "disabled", "never", "null", "nil", "0", "-"}
	return slices.Contains(words, strings.ToLower(value))
}

// checkHostPort checks an address to listen on. The host may be missing, and the port may
// be 0: hostport.IsPort is for ports that are connected to. For a port that stands alone
// the error suggests to write before in front of it; otherwise it shows the examples.
func checkHostPort(value, before, examples string) error {
	like := "write for example " + examples
	at, ok := hostport.Split(value)
	bracketed, lacksBrackets := inBrackets(value)
	switch {
	case strings.Contains(value, "//"):
		return errors.New("is not host:port; leave out scheme and path, like " + examples)
	case hostport.IsPort(value):
		return errors.New("has no colon; " + shown.Write(before+value, like))
	case lacksBrackets:
		return errors.New("has an IPv6 address without brackets; " + shown.Write(bracketed, like))
	case hostport.IsAddressOrName(value):
		return errors.New("has no port; " + shown.Write(net.JoinHostPort(value, "PORT"), like))
	case !ok || !at.HasPort || at.Host != "" && !hostport.IsAddressOrName(at.Host):
		return errors.New("is not host:port; " + like)
	}
	if _, ok := hostport.ParsePort(at.Port); !ok {
		return errors.New("has no valid port; it must be a number from 0 to 65535")
	}
	return nil
}

// AdminAddress returns where the admin listener of environ can be reached from this
// host. It looks at one variable, and ignores problems with others.
func AdminAddress(environ []string) (string, error) {
	s := readSettings(environ)
	const name = "HOLDFAST_ADMIN_LISTEN"
	value, _ := s.effective(variableNamed(name))
	listen, err := parseAdminListen(value)
	switch {
	case err != nil:
		return "", Problems{{name, value, err.Error()}}
	case listen == "":
		return "", errors.New(name + " is off: there is nobody to ask")
	}
	at, _ := hostport.Split(string(listen)) // parseListen has split it before
	return net.JoinHostPort(reachable(at.Host), at.Port), nil
}

// reachable returns the host to dial for one that is listened on. A wildcard cannot be
// dialled. Package net listens on both families for every wildcard, and ::1 does not exist
// where IPv6 is switched off. So it is 127.0.0.1 for [::], too.
func reachable(host string) string {
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}
