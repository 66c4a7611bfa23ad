package proxy

import (
	"net/netip"

	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/socket"
)

// linux is the production kernel.
type linux struct {
	*epoll.Poller
	options socket.Options // for the connections that it makes
}

func (linux) Accept(ln *listener) (transport, netip.AddrPort, error) {
	accept := socket.Accept
	if ln.shared {
		accept = socket.AcceptShared
	}
	fd, from, err := accept(ln.fd)
	if err != nil {
		return nil, from, err
	}
	return bare(fd), from, nil
}

func (linux) Waiting(ln *listener) bool { return socket.Waiting(ln.fd) }

func (k linux) Connect(to socket.Endpoint) (transport, error) {
	fd, err := socket.Connect(to, k.options)
	if err != nil {
		return nil, err
	}
	return bare(fd), nil
}
