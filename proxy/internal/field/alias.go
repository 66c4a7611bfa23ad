package field

import (
	"strings"

	"holdfast/internal/ascii"
)

// CGI and its heirs (WSGI, Rack, PHP) make one variable of X_Forwarded_For and
// X-Forwarded-For. So a name is compared with the names of the table as CGI does it, or
// a client could say what is the proxy's to say.

// alias returns one spelling for all names of which CGI makes the same variable.
func alias(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// isAlias reports whether CGI makes the same variable of both names.
func isAlias(a, b string) bool { return len(a) == len(b) && hasAliasPrefix(a, b) }

// hasAliasPrefix reports whether CGI's variable for name begins like the one for prefix.
func hasAliasPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if aliasByte(name[i]) != aliasByte(prefix[i]) {
			return false
		}
	}
	return true
}

func aliasByte(c byte) byte {
	if c == '_' {
		return '-'
	}
	return ascii.Lower(c)
}
