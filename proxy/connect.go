package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// connect dials for those beside the loops, who may block. It does what a
// handshake's dial does (dial.go): the same addresses in the same order, the same
// shares of the time, the same sockets, TLS included. It ends with ctx.
func (b *backend) connect(ctx context.Context) (net.Conn, error) {
	by := b.clock().Add(b.dialTimeout)
	within, cancel := context.WithTimeout(ctx, b.dialTimeout)
	defer cancel()
	addrs, err := b.addresses(within)
	if err != nil {
		return nil, causeOf(err, ctx, within)
	}
	d := newDial(b.failures.order(addrs, b.clock()), by)
	for {
		tryBy, more := d.next(b.clock())
		if !more {
			return nil, d.err
		}
		conn, err := b.try(within, d.to, tryBy.Sub(b.clock()))
		if err == nil {
			b.failures.worked(d.to)
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.missed(&d, b.clock(), err)
	}
}

// causeOf tells the end of the time for a dial, or of its share, from other ends.
func causeOf(err error, caller, within context.Context) error {
	switch {
	case caller.Err() != nil:
		return caller.Err()
	case within.Err() != nil:
		return errDialTimeout
	default:
		return err
	}
}

// addresses are the backend's, looked up if need be together with all others who
// ask for them.
func (b *backend) addresses(ctx context.Context) ([]socket.Endpoint, error) {
	if addrs, ok := b.known(b.clock()); ok {
		return addrs, nil
	}
	type answer struct {
		addrs []socket.Endpoint
		err   error
	}
	answers := make(chan answer, 1)
	asked := b.lookup(func(addrs []socket.Endpoint, err error) { answers <- answer{addrs, err} })
	select {
	case a := <-answers:
		return a.addrs, a.err
	case <-ctx.Done():
		b.forgo(asked)
		return nil, ctx.Err()
	}
}

// try connects to one address, in its share of the time.
func (b *backend) try(within context.Context, to socket.Endpoint, share time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(within, share)
	defer cancel()
	plain, err := b.tryPlain(ctx, to)
	switch {
	case err != nil:
		return nil, causeOf(err, within, ctx)
	case b.tls == nil:
		return plain, nil
	}
	conn := tls.Client(plain, b.tls())
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, causeOf(err, within, ctx)
	}
	return conn, nil
}

func (b *backend) tryPlain(ctx context.Context, to socket.Endpoint) (net.Conn, error) {
	for {
		fd, err := socket.Connect(to, b.options)
		if err == nil {
			return await(ctx, fd)
		}
		if err != errAgain {
			return nil, err
		}
		pause, cancel := context.WithTimeout(ctx, queueFullPause)
		<-pause.Done()
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// await waits until a socket is connected, and gives it to the standard library.
// If it will not be, or ctx ends before, the socket is closed.
func await(ctx context.Context, fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close() // the standard library makes a duplicate
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = file.SetWriteDeadline(time.Unix(1, 0)) // has passed; it fails only on a file that is closed
	})
	defer stop()
	if err := raw.Write(isWritable); err != nil {
		return nil, err
	}
	if err := socket.Connected(fd); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// isWritable reports whether a connect has come out, one way or the other.
func isWritable(fd uintptr) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(polled, 0)
	return err == nil && n > 0
}
