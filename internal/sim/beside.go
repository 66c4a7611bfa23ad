package main

import (
	"io"
	"iter"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/sim/kernel"
	"holdfast/proxy"
)

// What the proxy runs beside its loops may block. Here each such job is a coroutine: while
// it waits for a connection, the world goes on. So one thing happens at a time, and the
// same plan gives the same run.

// A job is one of them.
type job struct {
	w     *World
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	waits bool
}

// beside runs a job some time later.
func (w *World) beside(run func()) {
	if w.inLater { // it is a lookup, which waits for nothing here
		w.after(w.jobTime(), run)
		return
	}
	w.unbegun++
	w.after(w.jobTime(), func() {
		w.unbegun--
		w.starts(run)
		w.leaversLeave()
	})
}

// starts runs a job until it waits or ends.
func (w *World) starts(run func()) {
	j := &job{w: w}
	j.next, j.stop = iter.Pull(func(yield func(struct{}) bool) {
		j.yield = yield
		run()
	})
	w.jobs[j] = true
	j.goesOn()
}

// goesOn lets a job run until it waits again, or ends.
func (j *job) goesOn() {
	j.waits = false
	j.w.job = j
	_, more := j.next()
	j.w.job = nil
	if !more {
		delete(j.w.jobs, j)
	}
}

// wait returns when somebody has called wake. It returns false at the end of the world.
func (j *job) wait() bool {
	j.waits = true
	return j.yield(struct{}{})
}

// wake lets a job go on that waits, a little later.
func (j *job) wake() {
	if j.waits {
		j.waits = false
		j.w.after(0, j.goesOn)
	}
}

// A detached is a connection of the proxy's that has left its loop.
type detached struct {
	proxy.Transport
	w       *World
	socket  *kernel.Socket
	job     *job          // that waits for the connection; nil if none does
	by      time.Duration // when it waits no more
	closed  bool
	expired bool
}

var _ net.Conn = (*detached)(nil)

// detaches takes a connection from its loop. t is what the loop had, TLS included.
func (w *World) detaches(t proxy.Transport, s *kernel.Socket) (net.Conn, error) {
	if w.chance(w.plan.Faults.Accept/2, "detach") {
		_ = t.Close() // as the proxy's own connections do
		return nil, unix.EMFILE
	}
	d := &detached{Transport: t, w: w, socket: s, by: never}
	s.Notify = d.moves
	w.besides++
	return d, nil
}

// moves is called when the connection may be ready.
func (d *detached) moves() {
	if d.job != nil {
		d.job.wake()
	}
}

// waits lets the job that uses the connection wait for it.
func (d *detached) waits() error {
	switch {
	case d.closed:
		return net.ErrClosed
	case d.expired || d.by <= d.w.now:
		return os.ErrDeadlineExceeded
	}
	d.job = d.w.job
	goesOn := d.job.wait()
	d.job = nil
	if !goesOn {
		return net.ErrClosed
	}
	return nil
}

func (d *detached) Read(b []byte) (int, error) {
	for {
		if d.closed {
			return 0, net.ErrClosed
		}
		n, err := d.Transport.Read(b, max(1, len(b)))
		switch {
		case err == proxy.ErrAgain && d.socket.Unread() > 0: // a part of a record was read
		case err == proxy.ErrAgain:
			if err := d.waits(); err != nil {
				return 0, err
			}
		case err == io.EOF:
			return 0, io.EOF
		default:
			return n, err
		}
	}
}

func (d *detached) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		if d.closed {
			return written, net.ErrClosed
		}
		n, err := d.Transport.Write(b)
		written += n
		b = b[n:]
		switch {
		case err == proxy.ErrAgain || err == nil && n == 0:
			if err := d.waits(); err != nil {
				return written, err
			}
		case err != nil:
			return written, err
		}
	}
	return written, nil
}

func (d *detached) CloseWrite() error {
	if d.closed {
		return net.ErrClosed
	}
	return d.Transport.CloseWrite()
}

func (d *detached) Close() error {
	if d.closed {
		return net.ErrClosed
	}
	d.closed = true
	d.w.besides--
	d.socket.Notify = nil
	d.moves()
	return d.Transport.Close()
}

// attaches gives a connection back to a loop.
func (w *World) attaches(c net.Conn) (proxy.Transport, error) {
	d := c.(*detached)
	d.closed = true
	d.socket.Notify = nil
	w.besides--
	return d.Transport, nil
}

// SetDeadline takes a time of the proxy's clock, which begins with the zero Time.
func (d *detached) SetDeadline(t time.Time) error {
	d.waitsUntil(t.Sub(time.Time{}))
	return nil
}

// waitsUntil sets when a job waits no longer for the connection.
func (d *detached) waitsUntil(at time.Duration) {
	d.by = at
	d.w.after(at-d.w.now, d.moves)
}

func (d *detached) SetReadDeadline(t time.Time) error  { return d.SetDeadline(t) }
func (d *detached) SetWriteDeadline(t time.Time) error { return d.SetDeadline(t) }
func (d *detached) LocalAddr() net.Addr                { return nowhere }
func (d *detached) RemoteAddr() net.Addr               { return nowhere }

var nowhere = net.TCPAddrFromAddrPort(netip.AddrPort{})

// leaversLeave lets clients that leave early do so at the moment at which a job beside the
// loops has ended: its result finds a handshake that is over.
func (w *World) leaversLeave() {
	for _, t := range w.talks {
		if t.plan.Opening == LeavesEarly && t.client.s != nil && !t.opened && w.choices.IntN(3) == 0 {
			t.client.leaves()
		}
	}
}
