package config

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// printed is what `holdfast env` prints of an environment.
func printed(t *testing.T, format string, environ ...string) string {
	t.Helper()
	var out strings.Builder
	all, _ := Describe(environ)
	if err := Formats[format](&out, all); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// readByDocker returns the variables of a file as docker run --env-file reads it: a line
// is NAME=value, the value as it is, and one that begins with # is a comment.
func readByDocker(t *testing.T, file string) (environ []string) {
	t.Helper()
	if !utf8.ValidString(file) {
		t.Fatal("docker reads no file that is not UTF-8")
	}
	lines := bufio.NewScanner(strings.NewReader(file)) // it removes a carriage return, too
	for lines.Scan() {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line != "" && line[0] != '#' {
			environ = append(environ, line)
		}
	}
	return environ
}

// What the file of an environment sets is that environment, or the file says that it
// cannot be.
func TestDotenvIsReadBack(t *testing.T) {
	for _, environ := range [][]string{
		{"HOLDFAST_UPSTREAM=ws://h:9000/a|b$HOME%2C", "HOLDFAST_PING_INTERVAL=5s"},
		{"HOLDFAST_UPSTREAM=unix:/run/it's a #1 \"socket\" `x` \\n;&"},
		{"HOLDFAST_UPSTREAM=ws://[::1]:9000", "HOLDFAST_ALLOWED_ORIGINS=*.example.com, https://a.example"},
		{"HOLDFAST_UPSTREAM=unix:/run/ü"},
	} {
		if got := readByDocker(t, printed(t, "dotenv", environ...)); !slices.Equal(got, environ) {
			t.Errorf("got  %q\nwant %q", got, environ)
		}
	}
	for _, path := range []string{"unix:/run/a\nb", "unix:/run/a\xff", "unix:/run/a\rb"} {
		file := printed(t, "dotenv", "HOLDFAST_UPSTREAM="+path)
		if got := readByDocker(t, file); len(got) != 0 || !strings.Contains(file, notInFiles+"\n#HOLDFAST_UPSTREAM=") {
			t.Errorf("%q: %q is read, and the file says\n%.400s", path, got, file)
		}
	}
}

func TestDotenvNotes(t *testing.T) {
	for value, want := range map[string]string{
		"20s":                    "",
		"":                       "",
		"ws://[::1]:9000/a%2C,*": "",
		"ws://h/$HOME":           asItIs,
		"a b":                    asItIs,
		"it's":                   asItIs,
		"#":                      asItIs,
		"a\nb":                   notInFiles,
	} {
		if _, got := dotenvValue(value); got != want {
			t.Errorf("%q: the note is %q, want %q", value, got, want)
		}
	}
}
