package message

import (
	"fmt"
	"strings"
	"testing"
)

const (
	noEscape   = `has a backslash before "q", and the escapes are \n, \r, \t, \xHH, \*, \;, \= and \\; write \\ for a backslash`
	unfinished = `ends with a backslash; write \\ for one that belongs to the text`
	noHex      = `has \x without two hexadecimal digits; write for example \x00`
	noUTF8     = "is not UTF-8, as every text message is; write its characters as they are"
	tooLong    = "has more than 1024 bytes; write a shorter one"
	twoWild    = `has two wildcards; write \* for an asterisk that belongs to the text`
	noText     = "is empty; write the text of a message"
	noArrow    = "has no =>; write ASKED=>ANSWER"
	orEscaped  = `, and \;; for two semicolons in a text`
	withBlanks = `has blanks at an end of a text, which would be part of it; remove them, or write \x20 or \t`
)

func TestParseText(t *testing.T) {
	longest := strings.Repeat("x", MaxText)
	for s, want := range map[string]string{
		"ping":                              "ping",
		`{"type":"ping"}`:                   `{"type":"ping"}`,
		`\n`:                                "\n",
		`\x20a\tb\r\n\*\;\=\\n\xe2\x82\xAC`: " a\tb\r\n*;=\\n€",
		" a;;b=>c\n":                        " a;;b=>c\n",
		longest:                             longest,
		longest[1:] + `\x41`:                longest[1:] + "A",
	} {
		if got, err := ParseText(s); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"":            noText,
		"a*b":         `has a wildcard, and is a message to send; write \* for an asterisk`,
		"**":          twoWild,
		`a\qb`:        noEscape,
		`a\`:          unfinished,
		`\x4`:         noHex,
		`\xg0`:        noHex,
		`\x+1`:        noHex,
		`\xff`:        noUTF8,
		"\xc3":        noUTF8,
		"x" + longest: tooLong,
	} {
		if got, err := ParseText(s); got != "" || err == nil || err.Error() != want {
			t.Errorf("%.20q: got %q, %v; want %s", s, got, err, want)
		}
	}
}

func TestParsePattern(t *testing.T) {
	longest := strings.Repeat("x", MaxText)
	mustPattern(t, longest+"*")
	for s, want := range map[string]string{
		"":                       noText,
		"*":                      `matches every message; write what distinguishes those that are meant, or \* for an asterisk`,
		"a*b*":                   twoWild,
		`\q`:                     noEscape,
		`*\`:                     unfinished,
		`\xc3*\xa9`:              noUTF8, // the wildcard stands for whole characters
		longest[1:] + "*" + "éé": tooLong,
	} {
		if got, err := ParsePattern(s); got != (Pattern{}) || err == nil || err.Error() != want {
			t.Errorf("%.20q: got %v, %v; want %s", s, got, err, want)
		}
	}
}

func TestParseAnswers(t *testing.T) {
	for s, want := range map[string]int{
		"a=>b":                       1,
		"a=>b;;c=>d":                 2,
		"a=>b\nc=>\n":                2,
		"\n\n  \na=>b\n;;\n;;c=>d;;": 2,
		"a=>b;;;c=>d":                2, // the answer to ;c
		"a*b=>1\na*=>2\n*b=>3":       3, // each takes what the earlier ones leave
		"ab=>1;;ab*=>2;;a*=>3":       3,
		manyRules(maxRules):          maxRules,
	} {
		if got := mustAnswers(t, s); len(got) != want {
			t.Errorf("%q: %d rules, want %d", s, len(got), want)
		}
	}
	for s, want := range map[string]string{
		"":                                     "is empty; write ASKED=>ANSWER",
		"\n;;\n":                               "is empty; write ASKED=>ANSWER",
		"ping":                                 noArrow,
		`ping\=>po`:                            noArrow,
		`ping\=`:                               noArrow,
		"ping=":                                "ends where => should be: a shell takes > for a redirection, so put the value in single quotes there",
		"=>pong":                               "has nothing before =>; write ASKED=>ANSWER",
		"*=>pong":                              `asks with a text that matches every message; write what distinguishes those that are meant, or \* for an asterisk`,
		"a**=>b":                               "asks with a text that " + twoWild,
		"a*=>**":                               "answers with a text that " + twoWild,
		`\q=>b`:                                "asks with a text that " + noEscape,
		`a=>\q`:                                "answers with a text that " + noEscape,
		`a=>\`:                                 "answers with a text that " + unfinished,
		`a=>\x4`:                               "answers with a text that " + noHex,
		"a=>*":                                 `answers with a wildcard and asks without one; write it before => too, or \* for an asterisk`,
		`a=>\xff`:                              "answers with a text that " + noUTF8,
		"\xff=>a":                              "asks with a text that " + noUTF8,
		"a => b":                               withBlanks,
		" a=>b":                                withBlanks,
		"a=>b\t":                               withBlanks,
		"a=>b\r":                               `ends with a carriage return, as each line does in a file with Windows line ends; convert the file, or write \r`,
		"a=>" + strings.Repeat("x", MaxText+1): "answers with a text that " + tooLong,
		strings.Repeat("x", MaxText+1) + "=>":  "asks with a text that " + tooLong,
		manyRules(maxRules + 1):                "has 65 rules; write at most 64",

		// Each error names its rule.
		"a=>b;;c":          `has a rule, number 2, "c", that ` + noArrow + orEscaped,
		"a=>b\n\n\"c\"\nd": `has a rule, number 2, ""c"", that ` + noArrow + "\n" + `has a rule, number 3, "d", that ` + noArrow,
		"a=>b;;a=>c":       `has a rule, number 2, "a=>c", that is never reached, since rule number 1 takes its messages; put it before that one, or leave it out`,
		"a;;a*=>b;;ab=>c":  `has a rule, number 1, "a", that ` + noArrow + orEscaped + "\n" + `has a rule, number 3, "ab=>c", that is never reached, since rule number 2 takes its messages; put it before that one, or leave it out`,
		"a*z=>;;ab*yz=>":   `has a rule, number 2, "ab*yz=>", that is never reached, since rule number 1 takes its messages; put it before that one, or leave it out`,
	} {
		if got, err := ParseAnswers(s); got != nil || err == nil || err.Error() != want {
			t.Errorf("%.30q:\ngot  %v\nwant %s", s, err, want)
		}
	}
}

// manyRules returns n rules.
func manyRules(n int) string {
	rules := make([]string, n)
	for i := range rules {
		rules[i] = fmt.Sprintf("%d=>", i)
	}
	return strings.Join(rules, ";;")
}
