package socket

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Endpoint is where a connection can be made to: an address and a port, or a unix
// socket. The two are never both set.
type Endpoint struct {
	AddrPort netip.AddrPort
	Path     string // of a unix socket
}

// MaxPath is how many bytes the path of a unix socket may have.
const MaxPath = len(unix.RawSockaddrUnix{}.Path) - 1

// sockaddr is an endpoint as connect(2) takes it, in memory that has room for
// the addresses of all families.
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

// addrPort is the reverse of sockaddr; the zero AddrPort for unix sockets.
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

// networkOrder turns a port into big-endian memory, and back.
func networkOrder(port uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(port >> 8), byte(port)})
}

// zoneID is the index of an IPv6 zone, which is an interface's name or number.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifc, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifc.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32) // 0, no zone, if it is neither
	return uint32(n)
}
