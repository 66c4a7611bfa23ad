// Package ascii classifies the bytes that the words of protocols are made of, and
// compares such words without regard to case. Only the letters of ASCII have a case
// here: strings.EqualFold takes the Kelvin sign for a k.
package ascii

// IsDigit reports whether c is a decimal digit.
func IsDigit(c byte) bool { return '0' <= c && c <= '9' }

// IsLetter reports whether c is a letter.
func IsLetter(c byte) bool { return 'a' <= Lower(c) && Lower(c) <= 'z' }

// IsHex reports whether c is a hexadecimal digit.
func IsHex(c byte) bool { return IsDigit(c) || 'a' <= Lower(c) && Lower(c) <= 'f' }

// Lower returns a letter in lower case, and any other byte as it is.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// IsDigits reports whether s is one decimal digit or more, and nothing else.
func IsDigits(s string) bool { return Consists(s, IsDigit) }

// Consists reports whether s has at least one byte, and whether isOne is true for each.
func Consists(s string, isOne func(byte) bool) bool {
	for i := range len(s) {
		if !isOne(s[i]) {
			return false
		}
	}
	return s != ""
}

// EqualFold compares without regard to case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if Lower(a[i]) != Lower(b[i]) {
			return false
		}
	}
	return true
}
