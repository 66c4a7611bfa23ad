package ration

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/heartbeat"
)

// A desk is a Book at an invented time.
type desk struct {
	*Book
	t     *testing.T
	now   heartbeat.Time
	plans []func()
	out   bytes.Buffer
}

func newDesk(t *testing.T, level slog.Level) *desk {
	d := &desk{t: t, now: heartbeat.Time(time.Hour)}
	log := slog.New(slog.NewTextHandler(&d.out, &slog.HandlerOptions{Level: level}))
	d.Book = New(log, func() heartbeat.Time { return d.now }, func(after time.Duration, job func()) {
		if after <= 0 || after > Period {
			t.Errorf("a period ends after %v", after)
		}
		d.plans = append(d.plans, job)
	})
	return d
}

// asks asks for so many lines and wants so many of them.
func (d *desk) asks(kind string, level slog.Level, lines, want int) {
	d.t.Helper()
	allowed := 0
	for range lines {
		if d.Allows(level, kind) {
			allowed++
		}
	}
	if allowed != want {
		d.t.Errorf("%d of %d lines of kind %s are allowed, want %d", allowed, lines, kind, want)
	}
}

// wantsTold wants the log to hold that line, and no other since the last call.
func (d *desk) wantsTold(line string) {
	d.t.Helper()
	_, got, _ := strings.Cut(strings.TrimSpace(d.out.String()), " ") // behind the time
	if got != line {
		d.t.Errorf("the log says %q, want %q", got, line)
	}
	d.out.Reset()
}

func TestRations(t *testing.T) {
	d := newDesk(t, slog.LevelInfo)
	d.asks("limit", slog.LevelInfo, 3, 3)
	d.now = d.now.Add(Period - 1)
	d.asks("limit", slog.LevelInfo, 100, Lines-3)
	d.asks("timeout", slog.LevelWarn, Lines, Lines)
	d.wantsTold("")
	d.now = d.now.Add(1)
	if len(d.plans) != 1 {
		t.Fatalf("%d jobs are planned, want one for the kind that had too many", len(d.plans))
	}
	d.plans[0]()
	d.wantsTold(`level=INFO msg="log lines left out" kind=limit lines=93`)
	d.plans[0]()
	d.wantsTold("")
	d.asks("limit", slog.LevelInfo, 100, Lines)
	d.asks("timeout", slog.LevelWarn, 1, 0)
}

// What was left out is told even if the job at the period's end comes late.
func TestNextPeriodTellsToo(t *testing.T) {
	d := newDesk(t, slog.LevelWarn)
	d.asks("timeout", slog.LevelWarn, Lines+2, Lines)
	d.now = d.now.Add(Period)
	d.asks("timeout", slog.LevelWarn, 1, 1)
	d.wantsTold(`level=WARN msg="log lines left out" kind=timeout lines=2`)
	d.plans[0]()
	d.wantsTold("")
}

// A level that is not logged takes nothing of the ration, and debug shows all.
func TestLevels(t *testing.T) {
	d := newDesk(t, slog.LevelWarn)
	d.asks("timeout", slog.LevelInfo, 100, 0)
	d.asks("timeout", slog.LevelWarn, 100, Lines)
	d = newDesk(t, slog.LevelDebug)
	d.asks("timeout", slog.LevelInfo, 100, 100)
	if !(*Book)(nil).Allows(slog.LevelInfo, "timeout") {
		t.Error("without a book there are no rations")
	}
	if len(d.plans) != 0 {
		t.Error("something is planned though nothing was left out")
	}
}
