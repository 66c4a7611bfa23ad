// Package linelog is a log whose writers never wait for its reader.
//
// The event loops log, and a loop that waits stalls all of its sessions. So New returns a
// logger that only copies its lines into memory, up to a limit. One goroutine writes the
// lines to the log. Lines beyond the limit are lost. Lines that the log refuses are lost too: a full
// disk refuses them. A later line says how many were lost. Close writes the lines that are
// left.
package linelog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// gather is how long lines are collected before they are written. So many lines at once
// cost few system calls and few wake-ups.
const gather = 5 * time.Millisecond

// keptLog is the size in bytes of the largest buffer that the writer keeps for its next
// lines.
const keptLog = 64 << 10

// maxPendingLog is how many bytes of log lines may wait to be written.
const maxPendingLog = 1 << 20

// New returns a logger that never waits for out, and the Writer behind it. The Writer
// must be closed, or the last lines are lost. The lines are JSON unless text is set.
// Durations are for readers in text, like 1m0.5s, and for programs in JSON, see inUnits.
func New(out io.Writer, text bool, level slog.Level) (*slog.Logger, *Writer) {
	handler := func(w io.Writer) slog.Handler {
		if text {
			return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: rounded})
		}
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: inUnits})
	}
	to := &output{out: out}
	direct := handler(to)
	w := newWriter(to, maxPendingLog, func(lost losses) error { return lost.tell(direct) })
	return slog.New(handler(w)), w
}

// IsTerminal reports whether out is a character device. It returns true for /dev/null
// also, where the format of the lines does not matter.
func IsTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Writer stands between the event loops, which must never wait, and a log that may block:
// a full pipe, a stopped terminal. It keeps up to limit bytes of lines for one goroutine
// to write. A line that does not fit is lost, and so is one that the log refuses. The
// number of lost lines is reported as soon as the log takes bytes again.
type Writer struct {
	out    *output                 // only writeLines writes to it
	report func(lost losses) error // writes to out; only writeLines calls it
	limit  int                     // of pending, in bytes
	wake   chan struct{}           // holds a token while there may be something to write
	done   chan struct{}           // closed when writeLines has ended

	total atomic.Uint64 // lines lost so far

	mu      sync.Mutex // guards the fields below; held no longer than for a copy
	pending []byte
	lost    int
	closed  bool
}

func newWriter(out *output, limit int, report func(lost losses) error) *Writer {
	w := &Writer{
		out:    out,
		report: report,
		limit:  limit,
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	go w.writeLines()
	return w
}

// Write takes one line, or loses it if there is no room. It never returns an error.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	if len(w.pending)+len(line) <= w.limit {
		w.pending = append(w.pending, line...)
	} else {
		w.lost++
		w.total.Add(1)
	}
	w.mu.Unlock()
	w.wakeUp()
	return len(line), nil
}

// Lost returns how many lines have been lost so far.
func (w *Writer) Lost() uint64 { return w.total.Load() }

// Close waits until the pending lines are written. It returns an error if ctx ends first.
// Lines that are written later are lost.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wakeUp()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *Writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default: // there is a token already
	}
}

// writeLines is the goroutine that writes to out and waits for it. An error of out can be
// told in out alone, when it takes bytes again.
func (w *Writer) writeLines() {
	defer close(w.done)
	var batch []byte
	var untold losses
	for closed := false; !closed; {
		w.await(untold)
		var slow int
		batch, slow, closed = w.take(batch)
		untold = w.tell(untold) // before the lines that follow the lost ones
		untold = w.write(batch, untold)
		untold.slow += slow
		untold = w.tell(untold)
	}
}

// retry is how long a report that the log has refused waits for the next lines.
const retry = time.Second

// await waits for lines. If there is something to report, it waits for retry at most.
func (w *Writer) await(untold losses) {
	if untold.any() {
		again := time.NewTimer(retry)
		defer again.Stop()
		select {
		case <-w.wake:
		case <-again.C:
			return
		}
	} else {
		<-w.wake
	}
	time.Sleep(gather)
}

// write writes lines. Those that the log refuses are added to untold.
func (w *Writer) write(lines []byte, untold losses) losses {
	if len(lines) == 0 {
		return untold
	}
	n, err := w.out.Write(lines)
	if err != nil {
		refused := bytes.Count(lines[n:], []byte("\n"))
		w.total.Add(uint64(refused))
		untold.refused, untold.err = untold.refused+refused, err
	}
	return untold
}

// tell reports lost lines, and returns those that could not be reported.
func (w *Writer) tell(untold losses) losses {
	if untold.any() && w.report(untold) != nil {
		return untold
	}
	return losses{}
}

// take returns the pending lines. The next lines reuse the memory of written, the batch
// before.
func (w *Writer) take(written []byte) (batch []byte, lost int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(written) > keptLog {
		written = nil
	}
	batch, w.pending = w.pending, written[:0]
	lost, w.lost = w.lost, 0
	return batch, lost, w.closed
}
