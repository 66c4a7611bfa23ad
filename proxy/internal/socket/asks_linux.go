package socket

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unacked returns how many of the bytes written to fd the peer's TCP has not
// acknowledged. For a unix socket it returns at least what the peer's program has not
// read: the kernel adds its own overhead. It returns 0 if the kernel does not say.
func Unacked(fd int) int {
	n, _ := ask(fd, unix.SIOCOUTQ)
	return n
}

// Unsent returns how many of the bytes written to fd the kernel has not sent even once.
// For a unix socket, where the kernel does not say, it returns Unacked.
func Unsent(fd int) int {
	if n, ok := ask(fd, unix.SIOCOUTQNSD); ok {
		return n
	}
	return Unacked(fd)
}

// Unread returns how many bytes have arrived on fd and have not been read.
func Unread(fd int) int {
	n, _ := ask(fd, unix.SIOCINQ)
	return n
}

func ask(fd int, question uintptr) (n int, ok bool) {
	var told int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), question, uintptr(unsafe.Pointer(&told)))
	return int(told), errno == 0
}

// ACKs says what the peer's TCP has sent and acknowledged of late.
type ACKs struct {
	// Last is how long ago the peer's TCP last acknowledged anything, new or not. It is 0
	// if the kernel does not say, as for a unix socket.
	Last time.Duration
	// Gap says that the peer's TCP has bytes that came behind lost ones. Unacked does not
	// count bytes that arrive behind a gap as acknowledged.
	Gap bool
	// Full says that the peer's TCP has no room at present: bytes wait here, and the
	// bytes under way fill its window.
	Full bool
	// RTT is the path's round trip as TCP measures it, or 0 if the kernel does not say.
	RTT time.Duration
	// Data is how long ago bytes of the peer last arrived. It is 0 if the kernel does not
	// say.
	Data time.Duration
}

// LastACKs returns what the kernel says of the peer of fd.
func LastACKs(fd int) ACKs {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return ACKs{}
	}
	return ACKs{
		Last: time.Duration(info.Last_ack_recv) * time.Millisecond,
		Gap:  info.Sacked > 0,
		Full: info.Notsent_bytes > 0 && info.Snd_wnd < (info.Unacked+1)*info.Snd_mss,
		RTT:  time.Duration(info.Rtt) * time.Microsecond,
		Data: time.Duration(info.Last_data_recv) * time.Millisecond,
	}
}
