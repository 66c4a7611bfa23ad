package socket

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unacked is how many of the bytes written to fd its peer's TCP has not
// acknowledged. Of a unix socket it is what the peer's program has not read, and
// more, since the kernel counts its own overhead. It is 0 where the kernel does not tell.
func Unacked(fd int) int {
	n, _ := ask(fd, unix.SIOCOUTQ)
	return n
}

// Unsent is how many of them the kernel has not sent even once. Of a unix socket,
// which does not tell, it is Unacked.
func Unsent(fd int) int {
	if n, ok := ask(fd, unix.SIOCOUTQNSD); ok {
		return n
	}
	return Unacked(fd)
}

// Unread is how many bytes have arrived on fd and not been read.
func Unread(fd int) int {
	n, _ := ask(fd, unix.SIOCINQ)
	return n
}

func ask(fd int, question uintptr) (n int, ok bool) {
	var told int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), question, uintptr(unsafe.Pointer(&told)))
	return int(told), errno == 0
}

// ACKs says how the peer's TCP acknowledges.
type ACKs struct {
	// Last is how long ago it last acknowledged anything, new or not. It is 0 where
	// the kernel does not tell, as for unix sockets.
	Last time.Duration
	// Gap says that it has bytes behind others that were lost on their way. Of what
	// arrives meanwhile Unacked shows nothing.
	Gap bool
	// Full says that it has no room at present: bytes wait here, and what is under
	// way takes up its window.
	Full bool
	// RTT is the path's round trip as TCP measures it; 0 where the kernel does not tell.
	RTT time.Duration
}

// LastACKs returns how the peer of fd acknowledges.
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
	}
}
