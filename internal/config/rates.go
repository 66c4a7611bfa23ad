package config

import (
	"errors"
	"strconv"
	"strings"
)

// parseFrameRate accepts no less than one frame a second: a pause lasts at most one second,
// and after it a frame is read.
func parseFrameRate(value string) (frameRate, error) {
	rate, err := parseRate(value, parseFrames, "200/s")
	if err == nil && rate > 0 && rate < 1 {
		err = errors.New(`is less than one frame a second, and no pause is longer than that; write "1/s" or more`)
	}
	return frameRate(rate), err
}

func parseFrames(text string) (int64, error) { return strconv.ParseInt(text, 10, 32) }

func parseByteRate(value string) (byteRate, error) {
	rate, err := parseRate(value, parseSize, "1MiB/s")
	if err == nil && rate > 0 && rate < 1 {
		err = errors.New(`is less than one byte a second, and no pause is longer than that; write "1/s" or more`)
	}
	return byteRate(rate), err
}

// parseRate parses an amount and a unit of time, like example, into an amount a second. 0
// has no unit.
func parseRate(value string, parseAmount func(string) (int64, error), example string) (float64, error) {
	if value == "0" {
		return 0, nil
	}
	text, unit, _ := strings.Cut(value, "/")
	amount, err := parseAmount(text)
	seconds, known := map[string]float64{"s": 1, "m": 60}[unit]
	switch {
	case err != nil || !known:
		return 0, errors.New("is not a rate; write " + rateMeant(value, parseAmount, example))
	case amount < 0:
		return 0, errors.New("must not be negative")
	case amount == 0:
		return 0, errors.New(`must be more than zero; for no limit write "0"`)
	}
	return float64(amount) / seconds, nil
}

// timeUnits match the words for the units of time of a rate, and what they are written as.
var timeUnits = map[string]string{
	"": "s", "s": "s", "sec": "s", "second": "s", "1s": "s",
	"m": "m", "min": "m", "minute": "m", "1m": "m",
}

// rateMeant returns the right spelling of a rate that was refused, in quotes. If it cannot be
// found, example is named as one. Rates of nginx have an r before the slash.
func rateMeant(value string, parseAmount func(string) (int64, error), example string) string {
	text, unit, _ := strings.Cut(strings.ReplaceAll(value, " ", ""), "/")
	text, unit = strings.TrimSuffix(text, "r"), timeUnits[strings.ToLower(unit)]
	if amount, err := parseAmount(text); err != nil || amount < 1 || unit == "" || len(text) > len("9223372036854775807") {
		return "for example " + strconv.Quote(example)
	}
	return strconv.Quote(text + "/" + unit)
}
