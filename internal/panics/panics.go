// Package panics records the panics that are caught, so that one fault does not end the
// whole process and is not overlooked either.
//
// Each panic is counted. The first one at each place of the code is logged with its
// stack, and so a fault that a thousand sessions meet costs one line. Whoever catches the
// panic decides what ends with it.
package panics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"path"
	"runtime/debug"
	"strings"
	"sync"
)

// ErrCaught is the error of a job that has panicked.
var ErrCaught = errors.New("internal error")

// A Book records panics. It may be used by any goroutine.
type Book struct {
	log   *slog.Logger
	count func()

	mu     sync.Mutex
	logged map[string]bool // by place; guarded by mu
}

// New returns a Book that logs to log and calls count for each panic.
func New(log *slog.Logger, count func()) *Book {
	return &Book{log: log, count: count, logged: make(map[string]bool)}
}

// Caught records a panic. A deferred function calls it with what recover and debug.Stack
// have returned there. It returns the panic in one line: its value and its place.
func (b *Book) Caught(value any, stack []byte) (summary string) {
	at := placeOf(stack)
	what := shortened(fmt.Sprint(value))
	summary = fmt.Sprintf("panic: %s, at %s", what, at)
	defer func() { _ = recover() }() // the log may be what panics, and nobody else can be told
	b.count()
	if b.isNew(at) {
		b.log.LogAttrs(context.Background(), slog.LevelError, "panic",
			slog.String("value", what), slog.String("at", at), slog.String("stack", string(stack)))
	}
	return summary
}

// Guard runs job. If job panics, Guard records that and returns an error that wraps
// ErrCaught.
func (b *Book) Guard(job func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("%w: %s", ErrCaught, b.Caught(value, debug.Stack()))
		}
	}()
	job()
	return nil
}

func (b *Book) isNew(place string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logged[place] {
		return false
	}
	b.logged[place] = true
	return true
}

// longest bounds the text of a panic's value, in bytes.
const longest = 200

func shortened(s string) string {
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// unknown is the place of a panic whose stack does not tell it.
const unknown = "an unknown place"

// placeOf returns where the latest panic in a stack began: the function that is no part
// of the runtime, with its file and line. A stack names each function in two lines, and
// the function panic follows those that were deferred.
func placeOf(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	panicked := false
	for i := 0; i+1 < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "panic("):
			panicked = true
		case !panicked, strings.HasPrefix(line, "\t"), strings.HasPrefix(line, "runtime."):
		default:
			function := line
			if arguments := strings.LastIndexByte(line, '('); arguments > 0 {
				function = line[:arguments]
			}
			file, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +")
			return fmt.Sprintf("%s (%s)", function, path.Base(file))
		}
	}
	return unknown
}

// served begins the lines in which net/http tells of a panic that it has caught itself.
const served = "http: panic serving "

// ErrorLog returns a logger for a server of net/http. It records the panics that net/http
// catches, and writes all other lines at level.
func (b *Book) ErrorLog(level slog.Level) *log.Logger {
	return log.New(&errorLog{book: b, other: slog.NewLogLogger(b.log.Handler(), level).Writer()}, "", 0)
}

// An errorLog is what a logger of ErrorLog writes to.
type errorLog struct {
	book  *Book
	other io.Writer
}

// Write takes one line of net/http. That of a panic goes on with the stack: "http: panic
// serving ADDRESS: VALUE\nSTACK".
func (w *errorLog) Write(line []byte) (int, error) {
	rest, isPanic := bytes.CutPrefix(line, []byte(served))
	if !isPanic {
		return w.other.Write(line)
	}
	what, stack, _ := bytes.Cut(rest, []byte("\n"))
	_, value, _ := bytes.Cut(what, []byte(": "))
	w.book.Caught(string(value), stack)
	return len(line), nil
}
