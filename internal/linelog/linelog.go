// Package linelog is a log whose writers never wait for its reader.
//
// The event loops log, and a loop that waits stalls all of its sessions. So New
// returns a logger whose lines are only copied into memory, up to a bound. One
// goroutine writes them out. Lines for which there is no room are lost, and the
// log says how many once it flows again. Close writes what is left.
package linelog

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// gather is how long lines are collected before they are written. A storm of lines then
// costs few system calls and few wake-ups.
const gather = 5 * time.Millisecond

// keptLog is how many bytes of memory the writer keeps for its next lines.
const keptLog = 64 << 10

// maxPendingLog is how many bytes of log lines may wait for a sink that is slow.
const maxPendingLog = 1 << 20

// New returns a logger that never waits for out, and the writer behind it.
// The writer must be closed, or the last lines are lost. The lines are JSON unless
// text is set.
func New(out io.Writer, text bool, level slog.Level) (*slog.Logger, *Writer) {
	handler := func(w io.Writer) slog.Handler {
		options := &slog.HandlerOptions{Level: level}
		if text {
			return slog.NewTextHandler(w, options)
		}
		return slog.NewJSONHandler(w, options)
	}
	direct := slog.New(handler(out))
	w := newWriter(out, maxPendingLog, func(lost int) {
		direct.Error("log lines lost: the log's reader was too slow", "lines", lost)
	})
	return slog.New(handler(w)), w
}

// IsTerminal reports whether out is a character device. /dev/null is one too, which
// does no harm.
func IsTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Writer stands between the event loops, which log and must never wait, and
// a log that may stand still: a full pipe, a stopped terminal. It keeps a bounded
// number of bytes for one goroutine to write. What does not fit is lost line by
// line, and reported as soon as the log flows again.
type Writer struct {
	out    io.Writer      // written to by writeLines alone
	report func(lost int) // writes to out; called by writeLines alone
	limit  int
	wake   chan struct{} // holds a token while there may be something to write
	done   chan struct{} // closed when writeLines has ended

	mu      sync.Mutex // held for no longer than a copy
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

// Write takes one line or loses it. It never fails.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	if len(w.pending)+len(line) <= w.limit {
		w.pending = append(w.pending, line...)
	} else {
		w.lost++
	}
	w.mu.Unlock()
	w.wakeUp()
	return len(line), nil
}

// Close writes what is pending, or gives up when ctx is done. Lines that come
// afterwards are lost.
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

// writeLines is the goroutine that waits for the log, so that nobody else has to. There
// is nowhere to report that the log cannot be written.
func (w *Writer) writeLines() {
	defer close(w.done)
	var batch []byte
	for closed := false; !closed; {
		<-w.wake
		time.Sleep(gather)
		var lost int
		batch, lost, closed = w.take(batch)
		if len(batch) > 0 {
			_, _ = w.out.Write(batch)
		}
		if lost > 0 {
			w.report(lost)
		}
	}
}

// take returns what is pending. The batch that was written before gives its memory to
// the next lines.
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
