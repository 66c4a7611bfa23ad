package kernel

import (
	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// writeUnix is unix_stream_sendmsg: what is written is with the peer at once.
func (s *Socket) writeUnix(b []byte) (int, error) {
	if s.shutWrite {
		return 0, unix.EPIPE // before an error, which stays
	}
	if err := s.takeError(); err != 0 {
		return 0, err
	}
	n := min(len(b), s.sendRoom-len(s.peer.in))
	if n <= 0 {
		return 0, proxy.ErrAgain
	}
	s.peer.in = append(s.peer.in, b[:n]...)
	s.peer.wake(proxy.Readable)
	return n, nil
}

// spaceFreed is unix_write_space: the peer has read.
func (s *Socket) spaceFreed() {
	if s.writable() {
		s.wake(proxy.Writable)
	}
}

// shutdownUnix is unix_shutdown: what one end no longer reads the other cannot write.
func (s *Socket) shutdownUnix(read, write bool) {
	s.shutRead, s.shutWrite = s.shutRead || read, s.shutWrite || write
	s.peer.shutRead, s.peer.shutWrite = s.peer.shutRead || write, s.peer.shutWrite || read
	s.wake(0)
	s.peer.wake(0)
}

// closeUnix is unix_release_sock. reset says that the peer is to know that something
// was thrown away.
func (s *Socket) closeUnix(reset bool) {
	s.peer.shutRead, s.peer.shutWrite = true, true
	if reset {
		s.peer.err = unix.ECONNRESET
	}
	s.in = nil
	s.peer.wake(0)
}
