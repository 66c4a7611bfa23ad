package backend

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/proxy/internal/socket"
)

// Connect dials for a goroutine beside the loops, which may block. It does the same as a
// handshake's dial on its loop: the same addresses in the same order, the same shares of
// the time, the same socket options, and TLS. It ends when ctx is done. The caller passes
// the outcome to Learn.
func (b *Backend) Connect(ctx context.Context) (net.Conn, error) {
	by := b.cfg.Clock().Add(b.cfg.DialTimeout)
	within, cancel := context.WithTimeout(ctx, b.cfg.DialTimeout)
	defer cancel()
	addrs, err := b.addresses(within)
	if err != nil {
		return nil, causeOf(err, ctx, within)
	}
	d := b.Dial(addrs, b.cfg.Clock(), by)
	for {
		tryBy, more := d.Next(b.cfg.Clock())
		if !more {
			return nil, d.Err()
		}
		conn, err := b.try(within, d.To, tryBy.Sub(b.cfg.Clock()))
		if err == nil {
			d.Reached()
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d.Missed(b.cfg.Clock(), err)
	}
}

// causeOf returns the error to report for err: the caller's own error if caller is done,
// ErrTimeout if the time of within is up, else err.
func causeOf(err error, caller, within context.Context) error {
	switch {
	case caller.Err() != nil:
		return caller.Err()
	case within.Err() != nil:
		return ErrTimeout
	default:
		return err
	}
}

// addresses returns the backend's addresses. If they must be looked up, the lookup is
// shared with all others that wait for it.
func (b *Backend) addresses(ctx context.Context) ([]socket.Endpoint, error) {
	if addrs, ok := b.Known(b.cfg.Clock()); ok {
		return addrs, nil
	}
	type answer struct {
		addrs []socket.Endpoint
		err   error
	}
	answers := make(chan answer, 1)
	forgo := b.Lookup(func(addrs []socket.Endpoint, err error) { answers <- answer{addrs, err} })
	select {
	case a := <-answers:
		return a.addrs, a.err
	case <-ctx.Done():
		forgo()
		return nil, ctx.Err()
	}
}

// try connects to one address within its share of the time.
func (b *Backend) try(within context.Context, to socket.Endpoint, share time.Duration) (net.Conn, error) {
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
		return nil, InTLS(causeOf(err, within, ctx))
	}
	return conn, nil
}

// tryPlain connects to one address without TLS.
func (b *Backend) tryPlain(ctx context.Context, to socket.Endpoint) (net.Conn, error) {
	for {
		fd, err := socket.Connect(to, b.cfg.Options)
		if err == nil {
			return await(ctx, fd)
		}
		if err != socket.ErrAgain {
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

// await waits until a socket is connected, and gives it to the standard library. If the
// connect fails, or ctx ends first, it closes the socket.
func await(ctx context.Context, fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close() // the standard library makes a duplicate
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = file.SetWriteDeadline(time.Unix(1, 0)) // a deadline in the past ends the wait; it fails only on a closed file
	})
	defer stop()
	if err := raw.Write(isWritable); err != nil {
		return nil, err
	}
	if err := socket.Connected(fd); err != nil {
		return nil, err
	}
	socket.UnlimitBackoff(fd) // the standard library closes without socket.Close
	return net.FileConn(file)
}

// isWritable reports whether a connect has succeeded or failed.
func isWritable(fd uintptr) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(polled, 0)
	return err == nil && n > 0
}
