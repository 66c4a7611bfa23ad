package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"holdfast/internal/shown"
)

// fileSuffix, appended to the name of a secret, gives the variable that names a file with
// the secret.
const fileSuffix = "_FILE"

// redacted is shown in place of a secret.
const redacted = "(redacted)"

// maxSecret is how many bytes a file may have.
const maxSecret = 64 << 10

// reveal returns the value of a secret, and the variable that it came from: name, or the
// one that names a file.
func (s settings) reveal(name string) (value, from string, found Problems) {
	file := name + fileSuffix
	path, _ := unwrap(variableNamed(file), s[file]) // parse reports what was around it
	switch {
	case path == "":
		return s[name], name, nil
	case s[name] != "":
		return "", file, Problems{{file, s[file], "is set, and " + name + " too; unset one of them"}}
	}
	value, err := readSecret(path)
	if err != nil {
		return "", file, Problems{{file, s[file], err.Error()}}
	}
	return value, file, nil
}

// conceal returns what may be shown of a secret: redacted if it is set, and the variable
// that it came from. Both are empty if it is not set.
func (s settings) conceal(name string) (value, from string) {
	for _, from := range []string{name, name + fileSuffix} {
		if s[from] != "" {
			return redacted, from
		}
	}
	return "", ""
}

// shown returns the value of a variable for a message. It is empty for a secret.
func (s settings) shown(name string) string {
	if variableNamed(name).secret {
		return ""
	}
	return s[name]
}

// readSecret returns the contents of a file, without the newline that editors and echo
// put at the end. The text of an error follows the file's variable, and shows nothing of
// the contents.
func readSecret(path string) (string, error) {
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
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	secret := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case err != nil:
		return "", errors.New(shown.Unreadable(err))
	case len(content) > maxSecret:
		return "", fmt.Errorf("holds more than %d KiB; name the right file", maxSecret>>10)
	case secret == "":
		return "", errors.New("is empty; write the value to it")
	}
	return secret, nil
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
