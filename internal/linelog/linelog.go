// Package linelog is a log whose writers never wait for its reader.
//
// The event loops log, and a loop that waits stalls all of its sessions. So New returns a
// logger that only copies its lines into memory, up to a limit. One goroutine writes the
// lines to the log. Lines for which there is no room are lost, and so are those that the log
// refuses, as a full disk does. A later line says how many were lost. Close writes the lines that are left.
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
	direct := slog.New(handler(out))
	w := newWriter(out, maxPendingLog, func(lost int) {
		direct.Error("log lines lost: the log was too slow, or could not be written", "lines", lost)
	})
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
// to write. A line that does not fit is lost, and so is one whose write fails. The number of
// lost lines is reported as soon as the log takes bytes again.
type Writer struct {
	out    io.Writer      // only writeLines writes to it
	report func(lost int) // writes to out; only writeLines calls it
	limit  int            // of pending, in bytes
	wake   chan struct{}  // holds a token while there may be something to write
	done   chan struct{}  // closed when writeLines has ended

	total atomic.Uint64 // lines lost so far

	mu      sync.Mutex // guards the fields below; held no longer than for a copy
	pending []byte
	lost    int
	closed  bool
}

func newWriter(out io.Writer, limit int, report func(lost int)) *Writer {
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

// writeLines is the goroutine that writes to out and waits for it. An error of out cannot be
// reported at once, since out is the log.
func (w *Writer) writeLines() {
	defer close(w.done)
	var batch []byte
	unreported, torn := 0, false // torn: out ends inside a line
	for closed := false; !closed; {
		<-w.wake
		time.Sleep(gather)
		var lost int
		batch, lost, closed = w.take(batch)
		unreported += lost
		if len(batch) > 0 {
			refused, tears := w.writeBatch(batch, torn)
			unreported += refused
			if torn = tears; refused > 0 {
				continue
			}
		}
		if unreported > 0 {
			w.report(unreported)
			unreported = 0
		}
	}
}

// writeBatch writes lines to out, and returns how many of them out refused. A line that out
// took in part is among those; out is torn then, and the next batch begins a new line.
func (w *Writer) writeBatch(batch []byte, torn bool) (refused int, tears bool) {
	if torn {
		if _, err := w.out.Write([]byte("\n")); err != nil {
			refused = bytes.Count(batch, []byte("\n"))
			w.total.Add(uint64(refused))
			return refused, true
		}
	}
	n, err := w.out.Write(batch)
	if err == nil {
		return 0, false
	}
	refused = bytes.Count(batch[n:], []byte("\n"))
	w.total.Add(uint64(refused))
	return refused, n > 0 && batch[n-1] != '\n'
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
