package kernel

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/proxy"
)

// A step is something that a script can do to an end. The same one more than once is
// more likely.
type step struct {
	name string
	do   func(tw *twin, end, arg int)
}

var (
	stepWrite = step{"write", func(tw *twin, end, arg int) { tw.write(end, 1+arg%64) }}
	stepFill  = step{"fill", func(tw *twin, end, _ int) { tw.fill(end) }}
	stepRead  = step{"read", func(tw *twin, end, arg int) { tw.readSome(end, 1+arg%64) }}
	stepDrain = step{"drain", func(tw *twin, end, _ int) { tw.drain(end) }}
	stepWant  = step{"epoll_ctl", func(tw *twin, end, arg int) {
		ops := []int{unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_DEL}
		var want proxy.Ready
		for i, bit := range []proxy.Ready{proxy.Readable, proxy.Writable, proxy.PeerEnded} {
			if arg>>(2+i)&1 != 0 {
				want |= bit
			}
		}
		tw.control(end, ops[arg%4], want)
	}}
	stepError    = step{"SO_ERROR", func(tw *twin, end, _ int) { tw.failure(end) }}
	stepShutdown = step{"shutdown write", func(tw *twin, end, _ int) {
		tw.same("shutdown", outcome(0, tw.model[end].CloseWrite()), outcome(0, unix.Shutdown(tw.real[end], unix.SHUT_WR)))
	}}
	stepShutRead = step{"shutdown read", func(tw *twin, end, _ int) {
		tw.model[end].CloseRead()
		tw.same("shutdown", "0", outcome(0, unix.Shutdown(tw.real[end], unix.SHUT_RD)))
	}}
	stepClose = step{"close", func(tw *twin, end, _ int) {
		tw.open[end] = false
		tw.same("close", outcome(0, tw.model[end].Close()), outcome(0, unix.Close(tw.real[end])))
	}}
	stepReset = step{"reset", func(tw *twin, end, _ int) { tw.reset(end) }}

	unixSteps = []step{
		stepWrite, stepWrite, stepWrite, stepWrite, stepRead, stepRead, stepRead, stepFill, stepDrain, stepDrain,
		stepWant, stepWant, stepWant, stepError, stepShutdown, stepShutRead, stepClose, stepReset,
	}
	tcpSteps = []step{
		stepWrite, stepWrite, stepWrite, stepWrite, stepRead, stepRead, stepRead, stepFill, stepDrain, stepDrain,
		stepWant, stepWant, stepWant, stepError, stepShutdown, stepShutdown, stepClose, stepReset,
	}
)

// pattern is what a stream is made of: the byte at a position is always the same.
var pattern = func() []byte {
	b := make([]byte, period+64<<10)
	for i := range b {
		b[i] = byte(i % period)
	}
	return b
}()

const period = 251

func bytesFrom(position, n int) []byte { return pattern[position%period:][:n] }

func (tw *twin) check(who string, position int, b []byte) {
	tw.t.Helper()
	if !bytes.Equal(b, bytesFrom(position, len(b))) {
		tw.t.Fatalf("%s: the %d bytes at %d are not those that were written", who, len(b), position)
	}
}

func (tw *twin) writeModel(end, n int) (int, error) {
	n, err := tw.model[end].Write(bytesFrom(tw.wrote[end].model, n))
	tw.wrote[end].model += n
	return n, err
}

func (tw *twin) writeReal(end, n int) (int, error) {
	n, err := unix.SendmsgN(tw.real[end], bytesFrom(tw.wrote[end].real, n), nil, nil, unix.MSG_NOSIGNAL)
	if err != nil {
		return 0, err
	}
	tw.wrote[end].real += n
	return n, nil
}

func (tw *twin) readModel(end int, b []byte) (int, error) {
	n, err := tw.model[end].Read(b, len(b))
	from := &tw.read[1-end]
	tw.check("model", from.model, b[:n])
	from.model += n
	return n, err
}

func (tw *twin) readReal(end int, b []byte) (int, error) {
	n, err := unix.Read(tw.real[end], b)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	from := &tw.read[1-end]
	tw.check("Linux", from.real, b[:n])
	from.real += n
	return n, nil
}

func (tw *twin) write(end, n int) {
	if tw.full[end] {
		tw.fill(end) // how much a full direction takes is not compared
		return
	}
	model, modelErr := tw.writeModel(end, n)
	real, realErr := tw.writeReal(end, n)
	tw.same("write", outcome(model, modelErr), outcome(real, realErr))
}

// fill writes until an error, which is EAGAIN if nothing else is wrong.
func (tw *twin) fill(end int) {
	const chunk = 16 << 10
	var model, real error
	for model == nil {
		_, model = tw.writeModel(end, chunk)
	}
	for real == nil {
		if _, real = tw.writeReal(end, chunk); real == unix.EAGAIN && tw.writableReal(end) {
			real = nil // the peer has acknowledged meanwhile
		}
	}
	tw.full[end] = tw.full[end] || model == unix.EAGAIN
	tw.same("fill", outcome(0, model), outcome(0, real))
}

func (tw *twin) writableReal(end int) bool {
	tw.flush()
	polled := []unix.PollFd{{Fd: int32(tw.real[end]), Events: unix.POLLOUT}}
	n, _ := unix.Poll(polled, 0)
	return n > 0
}

func (tw *twin) readSome(end, n int) {
	b := make([]byte, n)
	model, modelErr := tw.readModel(end, b)
	real, realErr := tw.readReal(end, b)
	tw.same("read", outcome(model, modelErr), outcome(real, realErr))
}

// drain reads all that was written, or all that came before the connection broke. A
// stream that was full is drained while it still comes: then its end may be a moment away,
// and is not asked for.
func (tw *twin) drain(end int) {
	full := tw.full[1-end]
	from, wrote := &tw.read[1-end], tw.wrote[1-end]
	b := make([]byte, 64<<10)
	var model, real error
	for model == nil && !(full && from.model == wrote.model) {
		_, model = tw.readModel(end, b)
	}
	for tries := 0; real == nil && !(full && from.real == wrote.real); {
		if _, real = tw.readReal(end, b); full && real == unix.EAGAIN && tries < patience {
			tw.flush()
			real = nil
			tries++
		}
	}
	tw.full[1-end] = false
	tw.same("drain", outcome(0, model), outcome(0, real))
}

func (tw *twin) control(end, op int, want proxy.Ready) {
	fd, token := tw.model[end].FD(), proxy.Token(end)
	var err error
	switch op {
	case unix.EPOLL_CTL_ADD:
		err = tw.epoll.Add(fd, token, want)
	case unix.EPOLL_CTL_MOD:
		err = tw.epoll.Modify(fd, token, want)
	default:
		err = tw.epoll.Remove(fd)
	}
	ev := unix.EpollEvent{Events: uint32(want), Fd: int32(end)}
	real := unix.EpollCtl(tw.wait, op, tw.real[end], &ev)
	tw.same("epoll_ctl", outcome(0, err), outcome(0, os.NewSyscallError("epoll_ctl", real)))
}

func (tw *twin) failure(end int) {
	failure, err := unix.GetsockoptInt(tw.real[end], unix.SOL_SOCKET, unix.SO_ERROR)
	must(tw.t, err)
	var real error
	if failure != 0 {
		real = os.NewSyscallError("connect", unix.Errno(failure))
	}
	tw.same("SO_ERROR", outcome(0, tw.model[end].Connected()), outcome(0, real))
}

func (tw *twin) reset(end int) {
	tw.open[end] = false
	must(tw.t, unix.SetsockoptLinger(tw.real[end], unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	tw.same("reset", outcome(0, tw.model[end].Reset()), outcome(0, unix.Close(tw.real[end])))
}
