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

// Connect dials the target for a goroutine beside the loops, which may block, within
// that time. It does the same as a handshake's dial on its loop: the same socket options, and
// TLS. It ends when ctx is done. The caller passes the outcome to a Route, or to Learn.
func (t *Target) Connect(ctx context.Context, limit time.Duration) (net.Conn, error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	plain, err := t.connectPlain(within)
	switch {
	case err != nil:
		return nil, causeOf(err, ctx, within)
	case !t.WantsTLS():
		return plain, nil
	}
	conn := tls.Client(plain, t.TLS())
	if err := conn.HandshakeContext(within); err != nil {
		plain.Close()
		return nil, InTLS(causeOf(err, ctx, within))
	}
	return conn, nil
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

// connectPlain connects without TLS.
func (t *Target) connectPlain(ctx context.Context) (net.Conn, error) {
	for {
		fd, err := socket.Connect(t.at, t.backend.pool.cfg.Options)
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
