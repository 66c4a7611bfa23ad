package config

import (
	"reflect"
	"strings"

	"holdfast/proxy"
)

// Files with variables are read by many rules. Some readers keep quotes, blanks and
// carriage returns that others remove. The process then gets them as a part of the value.
// So they are named as what they are, and the value is checked without them.

const (
	inQuotes   = "is in quotes, which are part of the value for docker's --env-file and for Kubernetes; leave them out"
	withReturn = "ends with a carriage return, as each line does in a file with Windows line ends; convert the file"
	withBlanks = "begins or ends with a blank; remove it"

	inQuotesInFile = "holds a value in quotes, which would be a part of it; leave them out"
	withMoreInFile = "holds white space before or behind the value, which would be a part of it; remove it"
)

// inFile returns the reason for a value that is read from a file.
func inFile(reason string) string {
	if reason == inQuotes {
		return inQuotesInFile
	}
	return withMoreInFile
}

// blanks are the white space around a value that cannot be part of it.
const blanks = " \t\r\n"

// trimmers are the types whose rules ignore blanks around a value.
var trimmers = map[reflect.Type]bool{
	reflect.TypeFor[Upstreams]():          true,
	reflect.TypeFor[originList]():         true,
	reflect.TypeFor[trusted]():            true,
	reflect.TypeFor[proxy.HeaderFields](): true,
	reflect.TypeFor[appAnswers]():         true, // its own errors are about each rule
}

// unwrap returns the value of v without quotes, carriage returns and blanks around it. It
// returns what is wrong with the value as it was, or "".
func unwrap(v variable, value string) (bare, reason string) {
	bare = value
	field := reflect.TypeFor[Config]().Field(v.field)
	isFile := field.Tag.Get("env") != v.name // which holds the value
	if isFile || !trimmers[field.Type] {
		bare = strings.Trim(value, blanks)
	}
	switch {
	case !isFile && field.Type == reflect.TypeFor[appAnswers]() && hasQuotedTexts(strings.Trim(value, blanks)):
		return value, ""
	case isQuoted(strings.Trim(value, blanks)):
		bare = strings.Trim(value, blanks)
		return strings.Trim(bare[1:len(bare)-1], blanks), inQuotes
	case bare == value:
		return value, ""
	case strings.HasSuffix(value, "\r"):
		return bare, withReturn
	}
	return bare, withBlanks
}

// isQuoted reports whether the first and the last byte are the same quotation mark.
func isQuoted(value string) bool {
	end := len(value) - 1
	return end > 0 && value[0] == value[end] && strings.IndexByte("\"'`", value[0]) >= 0
}

// hasQuotedTexts reports whether the quotes at the ends of rules belong to their texts, as in
// "ping"=>"pong". Quotes around all rules leave an odd number of them before the first =>.
func hasQuotedTexts(rules string) bool {
	asked, _, _ := strings.Cut(rules, "=>")
	return isQuoted(rules) && strings.Count(asked, rules[:1])%2 == 0
}

// orEscape returns what to write for quotes and blanks that are meant, if the values of v
// have escapes.
func (v variable) orEscape() string {
	switch field := reflect.TypeFor[Config]().Field(v.field); {
	case field.Tag.Get("env") != v.name: // it names a file
		return ""
	case field.Type == reflect.TypeFor[appPing](), field.Type == reflect.TypeFor[*proxy.AppPattern](), field.Type == reflect.TypeFor[appAnswers]():
		return `; one that is part of a text is written as an escape, like \x22, \x20 or \n`
	}
	return ""
}
