package certs

import (
	"os"

	"holdfast/internal/shown"
)

// contents is the text of the files, empty for a file that is not set.
type contents struct{ cert, key, ca string }

func (f Files) read(found *Problems) contents {
	switch {
	case f.Cert.Path == "" && f.Key.Path != "":
		found.add(f.Cert, "is not set, but %v is; set both or neither", f.Key)
	case f.Cert.Path != "" && f.Key.Path == "":
		found.add(f.Key, "is not set, but %v is; set both or neither", f.Cert)
	}
	return contents{f.Cert.read(found), f.Key.read(found), f.CA.read(found)}
}

func (f File) read(found *Problems) string {
	if f.Path == "" {
		return ""
	}
	text, reason := content(f.Path)
	if reason != "" {
		found.add(f, "%s", reason)
	}
	return text
}

// content returns the text of a file, or the reason why it cannot be used. It follows
// symbolic links. It reads the file whatever its modification time is: a link that was
// replaced may lead to an older file.
func content(path string) (text, reason string) {
	info, err := os.Stat(path)
	if err != nil {
		return "", shown.Unreadable(err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "", "is a directory; name a file in it"
	case !mode.IsRegular():
		return "", "is a pipe or a device, which cannot be read again; name a regular file"
	}
	raw, err := os.ReadFile(path)
	switch {
	case err != nil:
		return "", shown.Unreadable(err)
	case len(raw) == 0:
		return "", "is empty; write the PEM text to it"
	}
	return string(raw), ""
}
