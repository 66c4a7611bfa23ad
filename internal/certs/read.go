package certs

import (
	"os"

	"holdfast/internal/shown"
)

// contents is what is in the files; empty for one that there is none of.
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

// content is what is in a file, or the reason why there is nothing. It follows
// symbolic links, and does not go by the time of the last change: a link that is
// swapped for another may lead to an older file.
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
