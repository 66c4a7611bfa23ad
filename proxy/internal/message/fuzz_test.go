package message

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// tokens are the parts that a written text is made of: bytes, and escapes.
var tokens = regexp.MustCompile(`(?s)\\x[0-9a-fA-F]{2}|\\[nrt*;=\\]|[^\\]`)

// model returns a regular expression that matches what the pattern s does, and nil if s has
// anything that is not a token, or two wildcards.
func model(s string) *regexp.Regexp {
	expression, wildcards := "", 0
	for _, token := range tokens.FindAllString(s, -1) {
		switch {
		case token == "*":
			expression += "(.*)"
			wildcards++
		case strings.HasPrefix(token, `\x`):
			b, _ := hex.DecodeString(token[2:])
			expression += regexp.QuoteMeta(string(b))
		case strings.HasPrefix(token, `\`):
			expression += regexp.QuoteMeta(strings.NewReplacer("n", "\n", "r", "\r", "t", "\t").Replace(token[1:]))
		default:
			expression += regexp.QuoteMeta(token)
		}
	}
	if strings.Join(tokens.FindAllString(s, -1), "") != s || wildcards > 1 {
		return nil
	}
	compiled, _ := regexp.Compile(`(?s)\A` + expression + `\z`) // which must be UTF-8
	return compiled
}

// FuzzPattern: a Pattern matches what the regular expression made of it does, and while a
// message comes in MayMatch says whether it can still match.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"ping", "2*", `{"id":*}`, `a\*b`, `\x7b*\n`, "é*é", `\xc3\xa9`, `\q`, "**"} {
		for _, text := range []string{"ping", "2probe", `{"id":7}`, "a*b", "{x\n", "é", "\xc3", "p"} {
			f.Add(pattern, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := ParsePattern(pattern)
		expression := model(pattern)
		if err != nil {
			if expression != nil && len(pattern) <= MaxText && pattern != "" && pattern != "*" {
				t.Fatalf("%q: %v", pattern, err)
			}
			return
		}
		if expression == nil {
			t.Fatalf("%q is accepted", pattern)
		}
		// The given text seldom matches; these do, if text is UTF-8.
		for _, text := range []string{text, p.before + text, p.before + text + p.after, p.before + p.after} {
			checkMatch(t, &p, expression, text)
			checkBeginnings(t, &p, text)
		}
	})
}

func checkMatch(t *testing.T, p *Pattern, expression *regexp.Regexp, text string) {
	t.Helper()
	wild, ok := p.Match([]byte(text))
	groups := expression.FindStringSubmatch(text)
	if want := groups != nil && utf8.ValidString(text); ok != want {
		t.Fatalf("%+v matches %q: got %t, want %t", *p, text, ok, want)
	}
	if ok && p.wild && string(wild) != groups[1] {
		t.Fatalf("%+v matches %q with %q, want %q", *p, text, wild, groups[1])
	}
}

// checkBeginnings: MayMatch is true for the beginnings of messages that match, and for no
// others.
func checkBeginnings(t *testing.T, p *Pattern, text string) {
	t.Helper()
	_, matches := p.Match([]byte(text))
	for end := range min(len(text), 64) + 1 {
		beginning := []byte(text[:end])
		got := p.MayMatch(beginning)
		if matches && !got {
			t.Fatalf("%+v matches %q, and nothing that begins with %q", *p, text, beginning)
		}
		if got && !hasEnd(p, beginning) {
			t.Fatalf("%+v may match %q, but no end was found", *p, beginning)
		}
	}
}

// hasEnd looks for a message that begins so and matches.
func hasEnd(p *Pattern, beginning []byte) bool {
	ends := []string{""}
	if len(beginning) <= len(p.before) {
		ends = []string{p.before[len(beginning):]}
	}
	for _, b := range []string{"\x80", "\x90", "\xa0"} { // the rest of any character
		ends = append(ends, b, b+"\x80", b+"\x80\x80")
	}
	for _, end := range ends {
		if _, ok := p.Match(bytes.Join([][]byte{beginning, []byte(end + p.after)}, nil)); ok {
			return true
		}
	}
	return false
}

// FuzzAnswers: texts that are escaped and parsed stay the same, whatever they contain; and
// a rule is refused as never reached only if it is not.
func FuzzAnswers(f *testing.F) {
	f.Add("ping", "pong", "2", "3", "x")
	f.Add("a=>", ";;b", "\n", "*", "é")
	f.Add("", "\\", "\xff", "", "\r")
	f.Fuzz(func(t *testing.T, asked, reply, asked2, reply2, wild string) {
		for _, s := range []string{asked, reply, asked2, reply2, wild} {
			if !utf8.ValidString(s) || len(s) > 100 {
				return
			}
		}
		first := escaped(asked) + "*" + escaped(reply2) + "=>" + escaped(reply) + "*"
		second := escaped(asked2) + "=>" + escaped(reply2)
		if asked == "" && reply2 == "" || asked2 == "" {
			return
		}
		all, err := ParseAnswers(first + ";;" + second)
		isTaken := len(asked2) >= len(asked)+len(reply2) && strings.HasPrefix(asked2, asked) && strings.HasSuffix(asked2, reply2)
		if isTaken != (err != nil) {
			t.Fatalf("%q takes what %q is for: %t, but the error is %v", first, second, isTaken, err)
		}
		if err != nil {
			return
		}
		got, ok := all[0].Asked.Match([]byte(asked + wild + reply2))
		if !ok || string(got) != wild || string(all[0].Append(nil, got)) != reply+wild {
			t.Fatalf("%q: got %q, %t, %q", first, got, ok, all[0].Append(nil, got))
		}
		if _, ok := all[1].Asked.Match([]byte(asked2)); !ok || string(all[1].Append(nil, nil)) != reply2 || all[1].Swallows() != (reply2 == "") {
			t.Fatalf("%q: %t, %q", second, ok, all[1].Append(nil, nil))
		}
	})
}

// escaped writes a text so that none of its bytes is special.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, ";", `\;`, "=", `\=`, "\n", `\n`, "\r", `\r`, "\t", `\t`, " ", `\x20`).Replace(text)
}
