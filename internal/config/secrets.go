package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"holdfast/internal/shown"
)

// fileSuffix, appended to the name of a variable, gives the variable that names a file with
// the value.
const fileSuffix = "_FILE"

// redacted is shown in place of a secret.
const redacted = "(redacted)"

// maxHeld is how many bytes a file may have.
const maxHeld = 64 << 10

// reveal returns the value of v, and the variable that it came from: the one that names a
// file, or what effective returns.
func (s settings) reveal(v variable) (value, from string, found Problems) {
	file := v.name + fileSuffix
	if !v.hasFile || s[file] == "" {
		value, from = s.effective(v)
		return value, from, nil
	}
	if s[v.name] != "" {
		return "", file, Problems{{file, s[file], "is set, and " + v.name + " too; unset one of them"}}
	}
	path, _ := unwrap(variableNamed(file), s[file]) // parse reports what was around it
	value, err := readHeld(path)
	if err != nil {
		return "", file, Problems{{file, s[file], err.Error()}}
	}
	return value, file, nil
}

// conceal returns what may be shown of a secret: redacted if it is set, and the variable
// that it came from. Both are empty if it is not set.
func (s settings) conceal(name string) (value, from string) {
	if giver := s.giver(name); giver != "" {
		return redacted, giver
	}
	return "", ""
}

// giver returns which variable is set for the value of name: name, or the one that names a
// file. It returns "" if neither is.
func (s settings) giver(name string) string {
	for _, giver := range []string{name, name + fileSuffix} {
		if s[giver] != "" {
			return giver
		}
	}
	return ""
}

// shown returns the value of a variable for a message. It is empty for a secret.
func (s settings) shown(name string) string {
	if variableNamed(name).secret {
		return ""
	}
	return s[name]
}

// readHeld returns the contents of a file, without the newline that editors and echo
// put at the end. The text of an error follows the file's variable, and shows nothing of
// the contents.
func readHeld(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", errors.New(shown.Unreadable(err))
	case !info.Mode().IsRegular() && !info.IsDir(): // Unreadable has words for a directory
		return "", errors.New("is a pipe or a device, which might never end; name a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", errors.New(shown.Unreadable(err))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxHeld+1))
	held := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case err != nil:
		return "", errors.New(shown.Unreadable(err))
	case len(content) > maxHeld:
		return "", fmt.Errorf("holds more than %d KiB; name the right file", maxHeld>>10)
	case held == "":
		return "", errors.New("is empty; write the value to it")
	}
	return held, nil
}

// The limits of a token. A shorter one can be guessed. A longer one would fill the head of
// a request.
const (
	minToken = 16
	maxToken = 1024
)

// parseAdminToken accepts what a request can have in Authorization: Bearer (RFC 6750,
// section 2.1).
func parseAdminToken(value string) (adminToken, error) {
	const symbols = "-._~+/"
	isBad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(symbols, r))
	}
	bare := strings.TrimRight(value, "=")
	switch {
	case bare == "", strings.ContainsFunc(bare, isBad):
		return "", errors.New("has characters that Authorization: Bearer does not take; use letters, digits and " + symbols + ", with = at the end alone")
	case len(value) < minToken:
		return "", fmt.Errorf("has fewer than %d bytes, and could be guessed; write one at random, like that of `openssl rand -hex 32`", minToken)
	case len(value) > maxToken:
		return "", fmt.Errorf("has more than %d bytes; write a shorter one", maxToken)
	}
	return adminToken(value), nil
}
