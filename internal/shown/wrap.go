package shown

import (
	"strings"
	"unicode/utf8"
)

// Width is how many characters a line has at most in texts for a terminal.
const Width = 100

// Wrapped returns text in lines of at most Width characters. Each line begins with
// indent. A word that is longer stays whole.
func Wrapped(text, indent string) string {
	var b strings.Builder
	room := 0
	for word := range strings.FieldsSeq(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case b.Len() == 0:
			b.WriteString(indent)
			room = Width - utf8.RuneCountInString(indent)
		case length+1 > room:
			b.WriteString("\n" + indent)
			room = Width - utf8.RuneCountInString(indent)
		default:
			b.WriteByte(' ')
			room--
		}
		b.WriteString(word)
		room -= length
	}
	return b.String()
}
