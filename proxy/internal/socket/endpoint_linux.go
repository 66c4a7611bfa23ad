package socket

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Endpoint is an address and a port, or a unix socket, to connect to. Only one of the
// fields is set.
type Endpoint struct {
	AddrPort netip.AddrPort
	Path     string // of a unix socket
}

// MaxPath is the largest length of a unix socket's path, in bytes.
const MaxPath = len(unix.RawSockaddrUnix{}.Path) - 1

// sockaddr returns an endpoint as connect(2) takes it, in memory that has room for
// addresses of all families.
func (e Endpoint) sockaddr() (addr unix.RawSockaddrUnix, size int) {
	ip := e.AddrPort.Addr()
	switch {
	case e.Path != "":
		addr.Family = unix.AF_UNIX
		for i := range min(len(e.Path), MaxPath) {
			addr.Path[i] = int8(e.Path[i])
		}
		return addr, unix.SizeofSockaddrUnix
	case ip.Is4():
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&addr))
		in.Family, in.Port, in.Addr = unix.AF_INET, networkOrder(e.AddrPort.Port()), ip.As4()
		return addr, unix.SizeofSockaddrInet4
	default:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&addr))
		in.Family, in.Port, in.Addr = unix.AF_INET6, networkOrder(e.AddrPort.Port()), ip.As16()
		in.Scope_id = zoneID(ip.Zone())
		return addr, unix.SizeofSockaddrInet6
	}
}

// addrPort is the reverse of sockaddr. It returns the zero AddrPort for a unix socket.
func addrPort(addr *unix.RawSockaddrInet6) netip.AddrPort {
	switch addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(addr))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkOrder(in.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(addr.Addr).Unmap(), networkOrder(addr.Port))
	}
	return netip.AddrPort{}
}

// networkOrder converts a port between the machine's byte order and big-endian.
func networkOrder(port uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(port >> 8), byte(port)})
}

// zoneID returns the index of an IPv6 zone, which is the name or the number of an
// interface, or 0 if the zone is neither.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifc, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifc.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32) // 0 on an error
	return uint32(n)
}
