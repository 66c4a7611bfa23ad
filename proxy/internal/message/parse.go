package message

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"holdfast/internal/shown"
)

// The errors of this file are the ends of sentences that begin with what was parsed.

const maxRules = 64

// ParseText reads a message that the proxy sends.
func ParseText(s string) (string, error) {
	if s == "" {
		return "", errors.New("is empty; write the text of a message")
	}
	t, err := parseTemplate(s)
	switch {
	case err != nil:
		return "", err
	case t.wild:
		return "", errors.New(`has a wildcard, and is a message to send; write \* for an asterisk`)
	}
	return t.before, nil
}

// ParsePattern reads a text that messages are compared with. An asterisk in it stands for
// any run of bytes, the empty one too.
func ParsePattern(s string) (Pattern, error) {
	t, err := parseTemplate(s)
	switch {
	case err != nil:
		return Pattern{}, err
	case t == template{}:
		return Pattern{}, errors.New("is empty; write the text of a message")
	case t == template{wild: true}:
		return Pattern{}, errors.New(`matches every message; write what distinguishes those that are meant, or \* for an asterisk`)
	}
	return Pattern{t}, nil
}

// ParseAnswers reads rules of the form ASKED=>ANSWER, which are separated by newlines or by
// two semicolons. Blank lines are not rules. The error joins one for each rule that is at
// fault.
func ParseAnswers(s string) ([]Answer, error) {
	rules := split(s)
	switch {
	case len(rules) == 0:
		return nil, errors.New("is empty; write ASKED=>ANSWER")
	case len(rules) > maxRules:
		return nil, fmt.Errorf("has %d rules; write at most %d", len(rules), maxRules)
	}
	answers := make([]Answer, 0, len(rules))
	number := make([]int, 0, len(rules)) // of the rule of each answer
	var bad []error
	for i, rule := range rules {
		a, err := parseAnswer(rule)
		if err == nil {
			err = a.checkReached(answers, number)
		}
		if err == nil {
			answers, number = append(answers, a), append(number, i+1)
			continue
		}
		if err == errNoArrow && strings.Contains(s, ";;") {
			err = fmt.Errorf(`%w, and \;; for two semicolons in a text`, err)
		}
		if len(rules) > 1 {
			err = &RuleError{i + 1, rule, err}
		}
		bad = append(bad, err)
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return answers, nil
}

// A RuleError says what is wrong with one of several rules.
type RuleError struct {
	Number int // 1 is the first
	Rule   string
	Err    error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf(`has a rule, number %d, "%s", that %v`, e.Number, shown.Printable(e.Rule), e.Err)
}

// WithoutRule returns the text of the error without that of the rule. It is for rules from a
// file, which may be the wrong one.
func (e *RuleError) WithoutRule() string {
	return fmt.Sprintf("has a rule, number %d, that %v", e.Number, e.Err)
}

// split returns the rules of s.
func split(s string) (rules []string) {
	for more := true; more; {
		var line string
		line, s, more = cut(s, "\n")
		for again := true; again; {
			var rule string
			rule, line, again = cut(line, ";;")
			if strings.Trim(rule, blanks) != "" {
				rules = append(rules, rule)
			}
		}
	}
	return rules
}

func parseAnswer(rule string) (a Answer, err error) {
	asked, reply, found := cut(rule, "=>")
	switch {
	case !found:
		return a, withoutArrow(rule)
	case asked == "":
		return a, errors.New("has nothing before =>; write ASKED=>ANSWER")
	case strings.HasSuffix(rule, "\r"):
		return a, errors.New(`ends with a carriage return, as each line does in a file with Windows line ends; convert the file, or write \r`)
	case strings.Trim(asked, blanks) != asked || strings.Trim(reply, blanks) != reply:
		return a, errors.New(`has blanks at an end of a text, which would be part of it; remove them, or write \x20 or \t`)
	}
	if a.Asked, err = ParsePattern(asked); err != nil {
		return Answer{}, fmt.Errorf("asks with a text that %w", err)
	}
	if a.reply, err = parseTemplate(reply); err != nil {
		return Answer{}, fmt.Errorf("answers with a text that %w", err)
	}
	if a.reply.wild && !a.Asked.wild {
		return Answer{}, errors.New(`answers with a wildcard and asks without one; write it before => too, or \* for an asterisk`)
	}
	return a, nil
}

var errNoArrow = errors.New("has no =>; write ASKED=>ANSWER")

// withoutArrow returns what is wrong with a rule that has no =>. A shell takes > for a
// redirection if the value has no quotes, and leaves what stands before it.
func withoutArrow(rule string) error {
	if strings.HasSuffix(rule, "=") && !strings.HasSuffix(rule, `\=`) {
		return errors.New("ends where => should be: a shell takes > for a redirection, so put the value in single quotes there")
	}
	return errNoArrow
}

const blanks = " \t\r"

// checkReached returns an error if an earlier rule takes all messages that a is for.
func (a *Answer) checkReached(earlier []Answer, number []int) error {
	for i := range earlier {
		if earlier[i].Asked.covers(&a.Asked) {
			return fmt.Errorf("is never reached, since rule number %d takes its messages; put it before that one, or leave it out", number[i])
		}
	}
	return nil
}

// parseTemplate undoes the escapes of s. An asterisk that is not escaped is the wildcard.
func parseTemplate(s string) (t template, err error) {
	var text []byte
	for s != "" {
		if s[0] != wildcard {
			var b byte
			if b, s, err = unescape(s); err != nil {
				return template{}, err
			}
			text = append(text, b)
			continue
		}
		if t.wild {
			return template{}, errors.New(`has two wildcards; write \* for an asterisk that belongs to the text`)
		}
		t.before, t.wild, text, s = string(text), true, nil, s[1:]
	}
	if t.wild {
		t.after = string(text)
	} else {
		t.before = string(text)
	}
	switch {
	case len(t.before)+len(t.after) > MaxText:
		return template{}, fmt.Errorf("has more than %d bytes; write a shorter one", MaxText)
	case !utf8.ValidString(t.before) || !utf8.ValidString(t.after):
		return template{}, errors.New("is not UTF-8, as every text message is; write its characters as they are")
	}
	return t, nil
}
