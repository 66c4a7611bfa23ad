package proxy

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/epoll"
)

// linux is the kernel in production.
type linux struct {
	*epoll.Poller
	options socketOptions // of the connections that it makes
}

func (linux) Accept(ln *listener) (transport, netip.AddrPort, error) {
	take := accept
	if ln.shared {
		take = acceptShared
	}
	conn, from, err := take(ln.fd)
	if err != nil {
		return nil, from, err
	}
	return conn, from, nil
}

func (linux) Waiting(ln *listener) bool {
	polled := []unix.PollFd{{Fd: int32(ln.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(polled, 0)
	return err == nil && n > 0
}

func (k linux) Connect(to endpoint) (transport, error) {
	conn, err := connect(to, k.options)
	if err != nil {
		return nil, err
	}
	return conn, nil
}
