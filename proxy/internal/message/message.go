// Package message knows the text messages of applications: those that the proxy sends as
// heartbeats, takes as answers to them, and answers itself.
//
// ParseText, ParsePattern and ParseAnswers read what an operator writes (parse.go), whose
// special characters have escapes (escape.go). LacksQuotes finds JSON out of which a shell has
// taken the quotes (json.go). A Pattern tells which messages are meant, and an Answer makes the
// reply to one of them. Frames, masks and compression are not of this package: it sees the
// payloads of whole messages.
package message

import (
	"strings"
	"unicode/utf8"
)

// MaxText is how many bytes a text may have, without its wildcard and after its escapes are
// undone. Longer messages are not looked at.
const MaxText = 1024

// template is a text with at most one wildcard. Both parts are valid UTF-8, so the whole is
// valid if what stands for the wildcard is.
type template struct {
	before, after string // the wildcard; without one the text is before
	wild          bool   // there is a wildcard
}

// A Pattern matches messages. It is exact but for its wildcard, if it has one.
type Pattern struct{ template }

// Match reports whether p matches the message text, and returns the bytes that stand for
// the wildcard. They are part of text, and valid UTF-8.
func (p *Pattern) Match(text []byte) (wild []byte, ok bool) {
	if !p.wild {
		return nil, string(text) == p.before
	}
	end := len(text) - len(p.after)
	if end < len(p.before) || string(text[:len(p.before)]) != p.before || string(text[end:]) != p.after {
		return nil, false
	}
	wild = text[len(p.before):end]
	return wild, utf8.Valid(wild)
}

// MayMatch reports whether p matches any message that begins with beginning. It can be the
// whole message, too.
func (p *Pattern) MayMatch(beginning []byte) bool {
	known := min(len(beginning), len(p.before))
	if string(beginning[:known]) != p.before[:known] {
		return false
	}
	rest := beginning[known:]
	return len(rest) == 0 || p.wild && utf8.Valid(wholeRunes(rest))
}

// wholeRunes returns text without the incomplete character at its end.
func wholeRunes(text []byte) []byte {
	for start := max(0, len(text)-utf8.UTFMax+1); start < len(text); start++ {
		if utf8.RuneStart(text[start]) && !utf8.FullRune(text[start:]) {
			return text[:start]
		}
	}
	return text
}

// Overlaps reports whether there is a message that both p and q match.
func (p *Pattern) Overlaps(q *Pattern) bool {
	switch {
	case !p.wild:
		_, ok := q.Match([]byte(p.before))
		return ok
	case !q.wild:
		return q.Overlaps(p)
	}
	// The longer beginning and the longer end make such a message, if there is one.
	return (strings.HasPrefix(p.before, q.before) || strings.HasPrefix(q.before, p.before)) &&
		(strings.HasSuffix(p.after, q.after) || strings.HasSuffix(q.after, p.after))
}

// covers reports whether p matches every message that q matches.
func (p *Pattern) covers(q *Pattern) bool {
	switch {
	case !q.wild:
		_, ok := p.Match([]byte(q.before))
		return ok
	case !p.wild:
		return false
	}
	// What stands for q's wildcard can differ from any text, so it is of no help to p.
	return strings.HasPrefix(q.before, p.before) && strings.HasSuffix(q.after, p.after)
}

// An Answer is a rule: which messages the proxy answers itself, and with what.
type Answer struct {
	Asked Pattern
	reply template // it has a wildcard only if Asked has one
}

// Swallows reports whether the messages that match Asked are taken and get no answer.
func (a *Answer) Swallows() bool { return a.reply == template{} }

// Append appends the text of the answer to dst. wild is what Asked.Match has returned.
func (a *Answer) Append(dst, wild []byte) []byte {
	dst = append(dst, a.reply.before...)
	if a.reply.wild {
		dst = append(dst, wild...)
		dst = append(dst, a.reply.after...)
	}
	return dst
}
