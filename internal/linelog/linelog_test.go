package linelog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestLogFormats(t *testing.T) {
	for _, tc := range []struct {
		text  bool
		level slog.Level
		want  string // what the one line contains
	}{
		{true, slog.LevelInfo, `level=INFO msg=shown peer="\x1b[2J\nforged"`},
		{false, slog.LevelInfo, `"level":"INFO","msg":"shown","peer":"\u001b[2J\nforged"}`},
	} {
		var out bytes.Buffer
		log, lines := New(&out, tc.text, tc.level)
		log.Debug("below the level")
		log.Info("shown", "peer", "\x1b[2J\nforged")
		if err := lines.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, tc.want) {
			t.Errorf("text %v: got %q, want %q", tc.text, got, tc.want)
		}
	}
}

// Text is read by people, and JSON by programs, which add durations up.
func TestDurations(t *testing.T) {
	for _, tc := range []struct {
		text bool
		want string
	}{
		{true, "duration=1h1m1.235s client_silent=1m0.01s client_rtt=235µs dial=0s"},
		{false, `"duration_s":3661.235,"client_silent_s":60.01,"client_rtt_ms":0.235,"dial_s":0}`},
	} {
		var out bytes.Buffer
		log, lines := New(&out, tc.text, slog.LevelInfo)
		log.Info("ended", "duration", time.Hour+61234567*time.Microsecond, "client_silent", 60010*time.Millisecond, "client_rtt", 234567*time.Nanosecond, slog.Duration("dial", 0))
		if err := lines.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), tc.want) {
			t.Errorf("text %v: got %q, want %q", tc.text, out.String(), tc.want)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if IsTerminal(w) {
		t.Error("a pipe was taken for a terminal")
	}
	if IsTerminal(io.Discard) {
		t.Error("a writer that is not a file was taken for a terminal")
	}
}

// Nobody reads the log: those who log go on, memory stays bounded, and the
// first line after the stop says what is missing.
func TestLogNeverBlocks(t *testing.T) {
	reader, sink := io.Pipe() // unbuffered: the first Write stands until it is read
	log, lines := New(sink, false, slog.LevelInfo)

	const logged = 5000
	payload := strings.Repeat("x", 1<<10)
	for range logged {
		log.Info("line", "payload", payload)
	}
	lines.mu.Lock()
	if len(lines.pending) > maxPendingLog {
		t.Errorf("%d bytes are kept, want at most %d", len(lines.pending), maxPendingLog)
	}
	lines.mu.Unlock()

	gaveUp, cancel := context.WithCancel(context.Background())
	cancel()
	if err := lines.Close(gaveUp); !errors.Is(err, context.Canceled) {
		t.Errorf("Close of a log that stands still = %v, want %v", err, context.Canceled)
	}

	go func() {
		<-lines.done
		sink.Close()
	}()
	written, lost := 0, 0
	for decoder := json.NewDecoder(reader); ; {
		var line struct {
			Msg   string
			Lines int
		}
		if err := decoder.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if line.Msg == "line" {
			written++
		} else {
			lost += line.Lines
		}
	}
	if lost == 0 {
		t.Error("nothing was lost: the test proves nothing")
	}
	if lines.Lost() != uint64(lost) {
		t.Errorf("%d lines are counted as lost, and %d reported", lines.Lost(), lost)
	}
	if written+lost != logged {
		t.Errorf("%d lines written, %d reported lost, want %d in all", written, lost, logged)
	}
}

// A line larger than all memory there is for lines is lost too, and the next is not.
func TestLogLineTooLong(t *testing.T) {
	var out bytes.Buffer
	reported := 0
	w := newWriter(&output{out: &out}, 8, func(lost losses) error {
		reported += lost.slow
		return nil
	})
	for _, line := range []string{"123456789\n", "12345\n"} {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("Write = %d, %v, want %d, nil", n, err, len(line))
		}
	}
	if err := w.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "12345\n" || reported != 1 {
		t.Errorf("written %q, reported lost %d", out.String(), reported)
	}
}

// full is a log that takes so many bytes, and then none, until there is room again.
type full struct {
	mu   sync.Mutex
	room int
	got  bytes.Buffer
	fail chan struct{} // gets a token for each write that fails
}

func (f *full) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(b), f.room)
	f.got.Write(b[:n])
	f.room -= n
	if n < len(b) {
		f.fail <- struct{}{}
		return n, syscall.ENOSPC
	}
	return n, nil
}

// Lines that a full disk does not take are counted, and reported once there is room. The
// line that was cut is ended before the next one.
func TestLogThatCannotBeWritten(t *testing.T) {
	out := &full{room: 6 + 3, fail: make(chan struct{}, 10)}
	reported := 0
	w := newWriter(&output{out: out}, 1<<10, func(lost losses) error {
		reported += lost.slow + lost.refused
		return nil
	})
	write := func(line string) {
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	write("first\nsecond\nthird\n")
	<-out.fail
	write("fourth\n")
	<-out.fail
	out.mu.Lock()
	out.room = 100
	out.mu.Unlock()
	write("fifth\n")
	if err := w.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := out.got.String(), "first\nsec\nfifth\n"; got != want {
		t.Errorf("the log has %q, want %q", got, want)
	}
	if w.Lost() != 3 || reported != 3 {
		t.Errorf("%d lines are counted as lost, and %d reported, want 3", w.Lost(), reported)
	}
}
