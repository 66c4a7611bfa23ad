package config

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/internal/shown"
	"holdfast/proxy"
)

const headersFile = "HOLDFAST_UPSTREAM_HEADERS_FILE"

func TestSecretFiles(t *testing.T) {
	for _, content := range []string{"A=s3=cret", "A=s3=cret\n", "A=s3=cret\r\n"} {
		c := mustLoad(t, someUpstream, headersFile+"="+fixture.Write(t, "headers", content))
		if len(c.UpstreamHeaders) != 1 || c.UpstreamHeaders[0] != (proxy.HeaderField{Name: "A", Value: "s3=cret"}) {
			t.Errorf("%q is read as %v", content, c.UpstreamHeaders)
		}
	}
}

func TestSecretFilesRefused(t *testing.T) {
	directory := t.TempDir()
	pipe := filepath.Join(directory, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ path, reason string }{
		{filepath.Join(directory, "absent"), "does not exist; put the file there or correct the path"},
		{directory, "is a directory; name a file in it"},
		{pipe, "is a pipe or a device, which might never end; name a regular file"},
		{"/dev/zero", "is a pipe or a device, which might never end; name a regular file"},
		{fixture.Write(t, "quoted", `"A=s3cret"`), inQuotesInFile},
		{fixture.Write(t, "quoted", " 'A=s3cret' \n"), inQuotesInFile},
		{fixture.Write(t, "empty", ""), "is empty; write the value to it"},
		{fixture.Write(t, "blank", "\n"), "is empty; write the value to it"},
		{fixture.Write(t, "two-lines", "A=s3cret\n\n"), "has a field, number 1, that has a line break in its value; write the fields in one line, with semicolons between them"},
		{fixture.Write(t, "lines", "A=s3cret\nB=s3cret\n"), "has a field, number 1, that has a line break in its value; write the fields in one line, with semicolons between them"},
		{fixture.Write(t, "wrong", "s3cret"), "has a field, number 1, that has no equals sign; write name=value;name=value, with no semicolon in a value"},
		{fixture.Write(t, "long", "A="+strings.Repeat("s3cret", maxHeld/6+1)), "holds more than 64 KiB; name the right file"},
	} {
		_, err := load(someUpstream, headersFile+"="+tc.path)
		if want := headersFile + "=" + shown.Quoted(tc.path) + " " + tc.reason; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}

	_, err := load(someUpstream, headersFile+"=/run/headers", "HOLDFAST_UPSTREAM_HEADERS=A=s3cret")
	want := headersFile + `="/run/headers" is set, and HOLDFAST_UPSTREAM_HEADERS too; unset one of them`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A token comes from its file as it was written there, or not at all.
func TestTokenFiles(t *testing.T) {
	const file, token = "HOLDFAST_ADMIN_TOKEN_FILE", "s3cret-s3cret-s3cret"
	for content, reason := range map[string]string{
		token:                        "",
		token + "\n":                 "",
		token + "\r\n":               "",
		token + "\n\n":               withMoreInFile,
		" " + token:                  withMoreInFile,
		token + " \n":                withMoreInFile,
		`"` + token + `"`:            inQuotesInFile,
		"s3cret\n":                   fewBytes,
		"s3cret-s3cret\ns3cret-s3cr": noToken,
	} {
		path := fixture.Write(t, "token", content)
		c, err := load(someUpstream, file+"="+path)
		switch want := file + "=" + shown.Quoted(path) + " " + reason; {
		case reason == "" && (err != nil || c.AdminToken != token):
			t.Errorf("%q is read as %q, %v", content, c.AdminToken, err)
		case reason != "" && (err == nil || err.Error() != want):
			t.Errorf("%q: got  %v\nwant %s", content, err, want)
		}
	}
}

// What is shown says that there is a secret and where it is from, no more, even if it
// is refused.
func TestSecretsAreRedacted(t *testing.T) {
	file := fixture.Write(t, "headers", "A=s3cret")
	for _, tc := range []struct {
		environ string
		refused bool
		from    string
	}{
		{"HOLDFAST_UPSTREAM_HEADERS=A=s3cret", false, fromEnvironment},
		{"HOLDFAST_UPSTREAM_HEADERS=s3cret", true, fromEnvironment},
		{headersFile + "=" + file, false, headersFile},
		{"HOLDFAST_ADMIN_TOKEN=s3cret-s3cret-s3cret", false, fromEnvironment},
		{"HOLDFAST_ADMIN_TOKEN=s3cret", true, fromEnvironment},
	} {
		all, found := Describe([]string{someUpstream, tc.environ})
		if (len(found) > 0) != tc.refused || strings.Contains(found.Error(), "s3cret") {
			t.Errorf("%s: refused with %q, want %v, and no secret in it", tc.environ, found.Error(), tc.refused)
		}
		for format := range Formats {
			if out := printed(t, format, someUpstream, tc.environ); strings.Contains(out, "s3cret") {
				t.Errorf("%s, as %s: the secret is in\n%s", tc.environ, format, out)
			}
		}
		for _, shown := range all {
			if variable, _, _ := strings.Cut(tc.environ, "="); shown.Name == strings.TrimSuffix(variable, fileSuffix) && (shown.Value != redacted || shown.From != tc.from) {
				t.Errorf("%s is shown as %+v", tc.environ, shown)
			}
		}
	}
}
