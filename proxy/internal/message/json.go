package message

import "strings"

// LacksQuotes reports whether text looks like JSON out of which a shell has taken the quotes.
// An object or an array with words in it has some.
func LacksQuotes(text string) bool {
	if text == "" || text[0] != '{' && text[0] != '[' || strings.ContainsAny(text, `"'`) || !strings.ContainsAny(text, ":,") {
		return false
	}
	return strings.ContainsFunc(literals.Replace(text), func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
}

// literals takes out the words that have no quotes in JSON.
var literals = strings.NewReplacer("true", "", "false", "", "null", "")

// LacksQuotes is the function of that name for what p matches.
func (p *Pattern) LacksQuotes() bool { return LacksQuotes(p.before + p.after) }

// LacksQuotes is the function of that name for what a is for, and for what it answers.
func (a *Answer) LacksQuotes() bool {
	return a.Asked.LacksQuotes() || LacksQuotes(a.reply.before+a.reply.after)
}
