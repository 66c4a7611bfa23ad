package linelog

import (
	"log/slog"
	"strings"
	"time"
)

// unitOf returns the unit of a duration with that name, and the suffix that a name has
// for the unit. Round trips are far shorter than all other durations.
func unitOf(name string) (unit time.Duration, suffix string) {
	if strings.HasSuffix(name, "rtt") {
		return time.Millisecond, "_ms"
	}
	return time.Second, "_s"
}

// rounded rounds a duration to thousandths of its unit.
func rounded(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		unit, _ := unitOf(a.Key)
		a.Value = slog.DurationValue(a.Value.Duration().Round(unit / 1000))
	}
	return a
}

// inUnits turns a duration into a number, and names the unit in its name: duration_s,
// client_rtt_ms.
func inUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		unit, suffix := unitOf(a.Key)
		thousandths := a.Value.Duration().Round(unit/1000) / (unit / 1000)
		return slog.Float64(a.Key+suffix, float64(thousandths)/1000)
	}
	return a
}
