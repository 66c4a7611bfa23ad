package config

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"holdfast/internal/shown"
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

// A value that was refused is not read back as another value, which might be accepted.
func TestRefusedValuesInDotenv(t *testing.T) {
	for value, note := range map[string]string{
		"HOLDFAST_UPSTREAM=localhost:9000":                              "",
		"HOLDFAST_UPSTREAM=ws://h/a\tb":                                 asItIs,
		"HOLDFAST_UPSTREAM=ws://h/a\nb":                                 notInFiles,
		"HOLDFAST_UPSTREAM=ws://h/a\rb":                                 notInFiles,
		"HOLDFAST_UPSTREAM=ws://h/a\xff\x01":                            notInFiles,
		"HOLDFAST_UPSTREAM=ws://me:s3cret@h":                            notWhole,
		"HOLDFAST_UPSTREAM=ws://h/?s3cret":                              notWhole,
		"HOLDFAST_HEALTH_PATH=/a b\"c\\d":                               asItIs,
		"HOLDFAST_HEALTH_PATH=/a?s3cret#":                               notWhole,
		"HOLDFAST_HEALTH_PATH=/" + strings.Repeat("x", shown.Max) + " ": asItIs,
	} {
		if _, err := load(someUpstream, value); err == nil {
			t.Errorf("%q is accepted", value)
		}
		file := printed(t, "dotenv", value)
		read := readByDocker(t, file)
		name, _, _ := strings.Cut(value, "=")
		switch line := name + "="; {
		case note == notInFiles || note == notWhole:
			if len(read) != 0 || !strings.Contains(file, "# "+note+"\n#"+line) {
				t.Errorf("%q: %q is read, and the file says\n%.400s", value, read, file)
			}
		case !slices.Equal(read, []string{value}), note != "" && !strings.Contains(file, "# "+note+"\n"+line):
			t.Errorf("%q: %q is read, and the file says\n%.400s", value, read, file)
		}
	}
}

// A value is written once for each format: JSON has its own escapes, and on a terminal or
// in a table a value is one line.
func TestControlCharactersInSettings(t *testing.T) {
	const value = "HOLDFAST_UPSTREAM=unix:/run/a\n\"b\""
	for format, want := range map[string]string{
		"json":     `"unix:/run/a\n\"b\""`,
		"table":    `unix:/run/a\n"b"  `,
		"markdown": "`unix:/run/a\\n\"b\"`",
	} {
		for _, environ := range [][]string{{value}, {value, "HOLDFAST_LISTEN=unix:/run/a\n\"b\""}} { // accepted, and refused
			if out := printed(t, format, environ...); !strings.Contains(out, want) {
				t.Errorf("%s of %q: %s is not in\n%.600s", format, environ, want, out)
			}
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
