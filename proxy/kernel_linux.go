package proxy

import (
	"crypto/tls"
	"net/netip"

	"holdfast/proxy/internal/epoll"
	"holdfast/proxy/internal/secure"
	"holdfast/proxy/internal/socket"
)

// linux is the production kernel.
type linux struct {
	*epoll.Poller
	options socket.Options // for the connections that it makes
}

func (linux) Accept(fd int, shared bool) (transport, netip.AddrPort, error) {
	accept := socket.Accept
	if shared {
		accept = socket.AcceptShared
	}
	fd, from, err := accept(fd)
	if err != nil {
		return nil, from, err
	}
	return bare(fd), from, nil
}

func (linux) Waiting(fd int) bool { return socket.Waiting(fd) }

func (linux) ServeTLS(conn transport, hello []byte, config *tls.Config) secured {
	return secure.Server(conn.FD(), hello, config)
}

func (linux) AskTLS(conn transport, config *tls.Config) secured {
	return secure.Client(conn.FD(), config)
}

func (k linux) Connect(to socket.Endpoint) (transport, error) {
	fd, err := socket.Connect(to, k.options)
	if err != nil {
		return nil, err
	}
	return bare(fd), nil
}
