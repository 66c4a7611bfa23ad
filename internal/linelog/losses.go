package linelog

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// losses counts the lost lines that the log has not told of yet.
type losses struct {
	slow    int   // there was no room for them, because the log's reader was too slow
	refused int   // the log refused them
	err     error // with which it last did so
}

func (l losses) any() bool { return l.slow > 0 || l.refused > 0 }

// tell logs the losses in one line.
func (l losses) tell(to slog.Handler) error {
	line := slog.NewRecord(time.Now(), slog.LevelError, "log lines lost: the log's reader was too slow", 0)
	if l.refused > 0 {
		line.Message = "log lines lost: the log could not be written"
		line.AddAttrs(slog.String("error", l.err.Error()))
	}
	line.AddAttrs(slog.Int("lines", l.slow+l.refused))
	return to.Handle(context.Background(), line)
}

// An output is a log that may take a part of what is written to it. What is written next
// begins with a line of its own.
type output struct {
	out  io.Writer
	torn bool // the log ends with a part of a line
}

// Write returns how many bytes of lines the log took.
func (o *output) Write(lines []byte) (int, error) {
	if o.torn {
		if _, err := io.WriteString(o.out, "\n"); err != nil {
			return 0, err
		}
		o.torn = false
	}
	n, err := o.out.Write(lines)
	if n > 0 {
		o.torn = lines[n-1] != '\n'
	}
	return n, err
}
