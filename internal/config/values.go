package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v10"

	"holdfast/heartbeat"
	"holdfast/proxy"
)

// Types of configuration values, each with its own rule in parsers.
type (
	listenAddress string        // host:port, unix:/path with its options, or systemd:NAME
	adminAddress  string        // host:port, or "" for none
	healthPath    string        // the target of a request, or "" for none
	serverName    string        // a host name or an IP address
	upstreamHost  string        // a Host, or one of two words
	adminToken    string        // what requests have in Authorization: Bearer, or "" for none
	proxyProtocol bool          // whether connections begin with a PROXY protocol header
	compression   bool          // whether permessage-deflate is left out of what is offered upstream
	httpRefusal   bool          // whether requests that are not an upgrade are refused
	positive      time.Duration // a duration that must not be zero
	fraction      float64       // 0 to 1
	frameSize     int64         // bytes; 0 means no limit
	messageSize   int64         // bytes; 0 means no limit
	headerSize    int           // bytes
	frameRate     float64       // frames a second; 0 means no limit
	byteRate      float64       // bytes a second; 0 means no limit
	closeCode     uint16        // a status code that may be sent (RFC 6455, section 7.4)
	logLevel      slog.Level
	logFormat     string
	originList    []proxy.OriginPattern
	appPing       string // the text of a message, or "" for none
	appAnswers    []proxy.AppAnswer
)

const (
	formatAuto logFormat = "auto" // text on a terminal, else JSON
	formatText logFormat = "text"
	formatJSON logFormat = "json"
)

// word is one value of a variable that accepts certain words only.
type word[T any] struct {
	name  string
	value T
}

// parsers holds the rule of each field type of Config. The text of a rule's error follows
// the variable and its value.
var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[Upstreams]():          rule(parseUpstreams),
	reflect.TypeFor[listenAddress]():      rule(parseListen),
	reflect.TypeFor[adminAddress]():       rule(parseAdminListen),
	reflect.TypeFor[healthPath]():         rule(parseHealthPath),
	reflect.TypeFor[serverName]():         rule(parseServerName),
	reflect.TypeFor[upstreamHost]():       rule(parseUpstreamHost),
	reflect.TypeFor[proxy.HeaderFields](): rule(proxy.ParseHeaderFields),
	reflect.TypeFor[originList]():         rule(parseOrigins),
	reflect.TypeFor[proxy.Balance]():      rule(proxy.ParseBalance),
	reflect.TypeFor[adminToken]():         rule(parseAdminToken),
	reflect.TypeFor[trusted]():            rule(parseTrusted),
	reflect.TypeFor[time.Duration]():      rule(parseDuration),
	reflect.TypeFor[positive]():           rule(parsePositive),
	reflect.TypeFor[fraction]():           rule(parseFraction),
	reflect.TypeFor[int]():                rule(parseCount),
	reflect.TypeFor[frameSize]():          rule(parseFrameSize),
	reflect.TypeFor[messageSize]():        rule(parseMessageSize),
	reflect.TypeFor[frameRate]():          rule(parseFrameRate),
	reflect.TypeFor[byteRate]():           rule(parseByteRate),
	reflect.TypeFor[appPing]():            rule(parseAppPing),
	reflect.TypeFor[proxy.AppPattern]():   rule(proxy.ParseAppPong),
	reflect.TypeFor[appAnswers]():         rule(parseAppAnswers),
	reflect.TypeFor[headerSize]():         rule(parseHeaderSize),
	reflect.TypeFor[closeCode]():          rule(parseCloseCode),
	reflect.TypeFor[bool](): oneOf([]word[bool]{
		{"true", true},
		{"false", false},
	}),
	reflect.TypeFor[heartbeat.Liveness](): oneOf([]word[heartbeat.Liveness]{
		{"any", heartbeat.AnyByte},
		{"pong", heartbeat.OnlyPong},
	}),
	reflect.TypeFor[heartbeat.PongMode](): oneOf([]word[heartbeat.PongMode]{
		{"require", heartbeat.RequirePong},
		{"auto", heartbeat.LearnPong},
		{"ignore", heartbeat.IgnorePong},
	}),
	reflect.TypeFor[proxy.PeerPings](): oneOf([]word[proxy.PeerPings]{
		{"answer", proxy.AnswerPings},
		{"forward", proxy.ForwardPings},
	}),
	reflect.TypeFor[proxyProtocol](): oneOf([]word[proxyProtocol]{
		{"off", false},
		{"accept", true},
	}),
	reflect.TypeFor[compression](): oneOf([]word[compression]{
		{"pass", false},
		{"off", true},
	}),
	reflect.TypeFor[httpRefusal](): oneOf([]word[httpRefusal]{
		{"proxy", false},
		{"refuse", true},
	}),
	reflect.TypeFor[logLevel](): oneOf([]word[logLevel]{
		{"debug", logLevel(slog.LevelDebug)},
		{"info", logLevel(slog.LevelInfo)},
		{"warn", logLevel(slog.LevelWarn)},
		{"error", logLevel(slog.LevelError)},
	}),
	reflect.TypeFor[logFormat](): oneOf([]word[logFormat]{
		{"auto", formatAuto},
		{"text", formatText},
		{"json", formatJSON},
	}),
}

// rule returns parse with the type that the environment parser needs.
func rule[T any](parse func(string) (T, error)) env.ParserFunc {
	return func(value string) (any, error) { return parse(value) }
}

// oneOf returns the rule that accepts these words and no others.
func oneOf[T any](words []word[T]) env.ParserFunc {
	return func(value string) (any, error) {
		var names []string
		for _, w := range words {
			if w.name == value {
				return w.value, nil
			}
			names = append(names, w.name)
		}
		return nil, fmt.Errorf("must be one of %s", strings.Join(names, ", "))
	}
}

// The limits of a duration that is not zero. A shorter one is below the resolution of the
// timers. A longer one could overflow when it is added to a time.
const (
	minDuration = time.Millisecond
	maxDuration = 365 * 24 * time.Hour
)

func parseDuration(value string) (time.Duration, error) {
	if value == "0" {
		return 0, nil
	}
	if strings.Trim(value, "0123456789.") == "" {
		return 0, errors.New("has no unit; " + writeDuration(value+"s"))
	}
	d, err := time.ParseDuration(value)
	switch {
	case err != nil && durationShape.MatchString(value): // package time could not hold it
		return 0, errTooLong
	case err != nil:
		return 0, errors.New("is not a duration; " + writeDuration(value))
	case d < 0:
		return 0, errors.New("must not be negative")
	case d > 0 && d < minDuration:
		return 0, fmt.Errorf("is too short; the shortest is %q", "1ms")
	case d > maxDuration:
		return 0, errTooLong
	}
	return d, nil
}

var errTooLong = errors.New(`is too long; the longest is "8760h"`)

// durationShape matches durations of any length.
var durationShape = regexp.MustCompile(`^\+?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$`)

func parsePositive(value string) (positive, error) {
	d, err := parseDuration(value)
	if isZero := strings.Trim(value, "0.") == ""; isZero || err == nil && d == 0 { // with or without a unit
		err = errors.New("must be more than zero")
	}
	return positive(d), err
}

func parseFraction(value string) (fraction, error) {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || !(f >= 0 && f <= 1) { // a NaN is neither
		return 0, errors.New("must be a number from 0 to 1")
	}
	return fraction(f), nil
}

func parseCount(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number from 0 to %d", math.MaxInt32)
	}
	return int(n), nil
}

func parseSize(value string) (int64, error) {
	digits, unit := value, int64(1)
	if kib, ok := strings.CutSuffix(value, "KiB"); ok {
		digits, unit = kib, 1<<10
	} else if mib, ok := strings.CutSuffix(value, "MiB"); ok {
		digits, unit = mib, 1<<20
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > math.MaxInt64/uint64(unit):
		return 0, errors.New("is too large")
	case err != nil:
		return 0, errors.New(`is not a size; write a whole number of bytes, or one with KiB or MiB, like "64KiB"`)
	}
	return int64(n) * unit, nil
}

func parseFrameSize(value string) (frameSize, error) {
	n, err := parseSize(value)
	return frameSize(n), err
}

// parseMessageSize accepts what a sum of 32 bits holds.
func parseMessageSize(value string) (messageSize, error) {
	n, err := parseSize(value)
	if err == nil && n > math.MaxUint32 {
		err = errors.New("must be less than 4096MiB")
	}
	return messageSize(n), err
}

func parseHeaderSize(value string) (headerSize, error) {
	n, err := parseSize(value)
	if err == nil && (n < 1<<10 || n > 1<<20) {
		err = errors.New("must be from 1KiB to 1MiB")
	}
	return headerSize(n), err
}

// parseCloseCode accepts the codes that an endpoint may send: the registered ones, and
// the ranges for libraries and applications (RFC 6455, section 7.4). 1004 is reserved.
// 1005, 1006 and 1015 must not be sent: they say that there was no Close frame.
func parseCloseCode(value string) (closeCode, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	sendable := n >= 1000 && n <= 1003 || n >= 1007 && n <= 1014 || n >= 3000 && n <= 4999
	if err != nil || !sendable {
		return 0, errors.New("is not a close code that may be sent; use one of 1000-1003, 1007-1014, 3000-4999")
	}
	return closeCode(n), nil
}
