package config

import (
	"slices"
	"strings"
	"testing"

	"holdfast/internal/fixture"
	"holdfast/internal/shown"
)

// A message that is never sent, and what needs one that is not, are named with what to set.
func TestMessagesThatAreNotSent(t *testing.T) {
	file := fixture.Write(t, "text", "pong")
	for _, tc := range []struct {
		environ []string
		want    string
	}{
		{[]string{"HOLDFAST_CLIENT_APP_PING=ping", "HOLDFAST_CLIENT_APP_PING_INTERVAL=0"},
			`HOLDFAST_CLIENT_APP_PING="ping" is never sent with HOLDFAST_CLIENT_APP_PING_INTERVAL=0; set an interval, or unset both`},
		{[]string{"HOLDFAST_CLIENT_APP_PING=ping", "HOLDFAST_CLIENT_PING_INTERVAL=0"},
			`HOLDFAST_CLIENT_APP_PING="ping" is never sent, since HOLDFAST_CLIENT_APP_PING_INTERVAL has its 0 from HOLDFAST_CLIENT_PING_INTERVAL; set HOLDFAST_CLIENT_APP_PING_INTERVAL`},
		{[]string{"HOLDFAST_UPSTREAM_APP_PING_FILE=" + file, "HOLDFAST_PING_INTERVAL=0s"},
			"HOLDFAST_UPSTREAM_APP_PING_FILE=" + shown.Quoted(file) + " is never sent, since HOLDFAST_UPSTREAM_APP_PING_INTERVAL has its 0 from HOLDFAST_UPSTREAM_PING_INTERVAL; set HOLDFAST_UPSTREAM_APP_PING_INTERVAL"},
		{[]string{"HOLDFAST_UPSTREAM_APP_PING=ping", "HOLDFAST_PING_INTERVAL=0", "HOLDFAST_UPSTREAM_APP_PING_INTERVAL=5s"}, ""},
		{[]string{"HOLDFAST_CLIENT_APP_PONG_FILE=" + file},
			"HOLDFAST_CLIENT_APP_PONG_FILE=" + shown.Quoted(file) + " has no effect without HOLDFAST_CLIENT_APP_PING; set that too, or unset it"},
		{[]string{"HOLDFAST_CLIENT_APP_PONG=pong", "HOLDFAST_UPSTREAM_APP_PING=ping"},
			`HOLDFAST_CLIENT_APP_PONG="pong" has no effect without HOLDFAST_CLIENT_APP_PING; set that too, or unset it`},
		{[]string{"HOLDFAST_CLIENT_APP_ANSWER=ping=>pong"}, ""},

		// A value that is refused is not missing, and is reported once.
		{[]string{"HOLDFAST_CLIENT_APP_PING=**", "HOLDFAST_CLIENT_APP_PONG=pong"},
			`HOLDFAST_CLIENT_APP_PING="**" has two wildcards; write \* for an asterisk that belongs to the text`},
		{[]string{"HOLDFAST_CLIENT_APP_PING=ping", "HOLDFAST_CLIENT_APP_PING_INTERVAL=5"},
			`HOLDFAST_CLIENT_APP_PING_INTERVAL="5" has no unit; write "5s"`},
		{[]string{"HOLDFAST_CLIENT_APP_PING=ping", "HOLDFAST_PING_INTERVAL=5"},
			`HOLDFAST_PING_INTERVAL="5" has no unit; write "5s"`},
	} {
		_, err := load(append(tc.environ, someUpstream)...)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tc.environ, got, tc.want)
		}
	}
}

func TestWarningsOfMessages(t *testing.T) {
	const ping, pong = "HOLDFAST_CLIENT_APP_PING=beat", "HOLDFAST_CLIENT_APP_PONG=beat"
	const lacks = "looks like JSON without its quotes, which shells and Environment= of systemd take away; put the value in single quotes there"
	const rule = " for messages that HOLDFAST_CLIENT_APP_PONG is for too: while HOLDFAST_CLIENT_APP_PING waits for an answer, " +
		"they count as that and get none; write texts that differ, if the peer has them"
	for _, tc := range []struct {
		environ []string
		warning string
	}{
		{[]string{ping, pong, "HOLDFAST_CLIENT_APP_ANSWER=beat=>beat"}, "HOLDFAST_CLIENT_APP_ANSWER has a rule, number 1," + rule},
		{[]string{ping, pong, "HOLDFAST_CLIENT_APP_ANSWER=a=>b;;be*=>c"}, "HOLDFAST_CLIENT_APP_ANSWER has a rule, number 2," + rule},
		{[]string{ping, pong, "HOLDFAST_CLIENT_APP_ANSWER=beat=>"}, ""}, // it keeps surplus answers from the upstream
		{[]string{ping, pong, "HOLDFAST_CLIENT_APP_ANSWER=beats=>beat"}, ""},
		{[]string{ping, pong, "HOLDFAST_UPSTREAM_APP_ANSWER=beat=>beat"}, ""},
		{[]string{"HOLDFAST_CLIENT_APP_PING={type:ping}"}, `HOLDFAST_CLIENT_APP_PING="{type:ping}" ` + lacks},
		{[]string{ping, "HOLDFAST_CLIENT_APP_PONG={type:pong*"}, "HOLDFAST_CLIENT_APP_PONG " + lacks},
		{[]string{"HOLDFAST_UPSTREAM_APP_ANSWER=a=>b;;c=>[null,pong]"}, "HOLDFAST_UPSTREAM_APP_ANSWER has a rule, number 2, that " + lacks},
		{[]string{`HOLDFAST_CLIENT_APP_PING={"type":"ping"}`, "HOLDFAST_UPSTREAM_APP_PING=[null,1]", "HOLDFAST_UPSTREAM_APP_ANSWER=[a]=>{}"}, ""},
		{[]string{"HOLDFAST_PING_INTERVAL=0", "HOLDFAST_CLIENT_APP_PING=a", "HOLDFAST_CLIENT_APP_PING_INTERVAL=5s"}, ""}, // something is kept alive
	} {
		if got := mustLoad(t, append(tc.environ, someUpstream)...).Warnings().Error(); got != tc.warning {
			t.Errorf("%q: warns\n%s\nwant\n%s", tc.environ, got, tc.warning)
		}
	}
}

// Messages are compared uncompressed.
func TestNotes(t *testing.T) {
	const note = "permessage-deflate is not offered to the upstream, since compressed messages cannot be compared with the texts of "
	const ping, pong = "HOLDFAST_CLIENT_APP_PING=a", "HOLDFAST_CLIENT_APP_PONG=b"
	for _, tc := range []struct {
		environ []string
		notes   []string
	}{
		{nil, nil},
		{[]string{ping}, nil},
		{[]string{ping, pong}, []string{note + "HOLDFAST_CLIENT_APP_PONG"}},
		{[]string{ping, pong, "HOLDFAST_COMPRESSION=off"}, nil},
		{[]string{"HOLDFAST_UPSTREAM_APP_ANSWER=a=>b"}, []string{note + "HOLDFAST_UPSTREAM_APP_ANSWER"}},
		{[]string{ping, pong, "HOLDFAST_CLIENT_APP_ANSWER=c=>d", "HOLDFAST_UPSTREAM_APP_ANSWER=a=>b", "HOLDFAST_COMPRESSION=pass"},
			[]string{note + "HOLDFAST_CLIENT_APP_PONG, HOLDFAST_CLIENT_APP_ANSWER and HOLDFAST_UPSTREAM_APP_ANSWER"}},
	} {
		c := mustLoad(t, append(tc.environ, someUpstream)...)
		if got := c.Notes(); !slices.Equal(got, tc.notes) {
			t.Errorf("%q: got %q, want %q", tc.environ, got, tc.notes)
		}
	}
}

const pingFile, answerFile = "HOLDFAST_CLIENT_APP_PING_FILE", "HOLDFAST_CLIENT_APP_ANSWER_FILE"

func TestFilesOfTexts(t *testing.T) {
	for _, end := range []string{"", "\n", "\r\n"} {
		c := mustLoad(t, someUpstream,
			pingFile+"="+fixture.Write(t, "ping", `{"type":"ping"}`+end),
			"HOLDFAST_CLIENT_APP_PONG_FILE="+fixture.Write(t, "pong", "pong*"+end),
			answerFile+"="+fixture.Write(t, "answer", "a=>b\n\nc*=>\n\"d\"=>\"e\""+end))
		if c.ClientAppPing != `{"type":"ping"}` || *c.ClientAppPong != *appPong("pong*") || !slices.Equal(c.ClientAppAnswer, answers(`a=>b;;c*=>;;"d"=>"e"`)) {
			t.Errorf("with %q at the end: got %q, %v, %v", end, c.ClientAppPing, c.ClientAppPong, c.ClientAppAnswer)
		}
	}
}

// A problem with a text from a file shows nothing of it: it may be the wrong file.
func TestFilesOfTextsRefused(t *testing.T) {
	const escaped = `; one that is part of a text is written as an escape, like \x22, \x20 or \n`
	for _, tc := range []struct{ file, content, reason string }{
		{pingFile, "", "is empty; write the value to it"},
		{pingFile, "s3cret*", `has a wildcard, and is a message to send; write \* for an asterisk`},
		{pingFile, "s3cret ", withMoreInFile + escaped},
		{pingFile, `"s3cret"`, inQuotesInFile + escaped},
		{answerFile, "s3cret", noArrow},
		{answerFile, "a=>b\ns3cret", "has a rule, number 2, that " + noArrow},
		{answerFile, "a=>b\r\nc=>d\r\n", "has a rule, number 1, that ends with a carriage return, as each line does in a file with Windows line ends; convert the file, or write \\r"},
		{answerFile, strings.Repeat("s3cret=>\n", maxHeld/8), "holds more than 64 KiB; name the right file"},
	} {
		path := fixture.Write(t, "text", tc.content)
		_, err := load(someUpstream, tc.file+"="+path)
		if want := tc.file + "=" + shown.Quoted(path) + " " + tc.reason; err == nil || err.Error() != want {
			t.Errorf("%.20q: got  %v\nwant %s", tc.content, err, want)
		}
		for format := range Formats {
			if out := printed(t, format, someUpstream, tc.file+"="+path); strings.Contains(out, "s3cret") {
				t.Errorf("%.20q, as %s: the text is in\n%s", tc.content, format, out)
			}
		}
	}

	_, err := load(someUpstream, pingFile+"=/run/ping", "HOLDFAST_CLIENT_APP_PING=ping")
	want := pingFile + `="/run/ping" is set, and HOLDFAST_CLIENT_APP_PING too; unset one of them`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Quotes and blanks around a text are hardly meant; those that are can be written.
func TestWrappedTexts(t *testing.T) {
	const escaped = `; one that is part of a text is written as an escape, like \x22, \x20 or \n`
	for environ, want := range map[string]string{
		`HOLDFAST_CLIENT_APP_PING="ping"`:               `HOLDFAST_CLIENT_APP_PING="\"ping\"" ` + inQuotes + escaped,
		"HOLDFAST_CLIENT_APP_PING=ping\n":               `HOLDFAST_CLIENT_APP_PING="ping\n" ` + withBlanks + escaped,
		`HOLDFAST_CLIENT_APP_PING=\x20ping\n`:           "",
		`HOLDFAST_CLIENT_APP_ANSWER="a=>b;;c=>d"`:       `HOLDFAST_CLIENT_APP_ANSWER="\"a=>b;;c=>d\"" ` + inQuotes + escaped,
		`HOLDFAST_CLIENT_APP_ANSWER='{"a":1}=>{"b":2}'`: `HOLDFAST_CLIENT_APP_ANSWER="'{\"a\":1}=>{\"b\":2}'" ` + inQuotes + escaped,
		`HOLDFAST_CLIENT_APP_ANSWER="ping"=>"pong"`:     "",
		`HOLDFAST_CLIENT_APP_ANSWER='a'=>'b';;"c"=>'d'`: "",
		"HOLDFAST_CLIENT_APP_ANSWER=\n ping=>pong":      `HOLDFAST_CLIENT_APP_ANSWER="\n ping=>pong" has blanks at an end of a text, which would be part of it; remove them, or write \x20 or \t`,
		"HOLDFAST_CLIENT_APP_PING_FILE=\"/run/ping\"":   `HOLDFAST_CLIENT_APP_PING_FILE="\"/run/ping\"" does not exist; put the file there or correct the path` + "\n" + `HOLDFAST_CLIENT_APP_PING_FILE="\"/run/ping\"" ` + inQuotes,
	} {
		_, err := load(someUpstream, environ)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", environ, got, want)
		}
	}
}

// Texts are not secrets, and are shown on one line wherever they come from.
func TestTextsAreShown(t *testing.T) {
	file := fixture.Write(t, "answer", "a=>\x01\nb\\n=>c")
	environ := []string{someUpstream, `HOLDFAST_CLIENT_APP_PING={"type":"ping?"}`, answerFile + "=" + file}
	for format, want := range map[string][]string{
		"table":    {`  {"type":"ping?"}  environment  `, `  a=>\x01\nb\\n=>c  HOLDFAST_CLIENT_APP_ANSWER_FILE  `},
		"markdown": {"| `{\"type\":\"ping?\"}` |"},
		"json":     {`"value": "{\"type\":\"ping?\"}"`, `"value": "a=>\u0001\nb\\n=>c"`},
		"dotenv":   {"\nHOLDFAST_CLIENT_APP_PING={\"type\":\"ping?\"}\n", "\n#HOLDFAST_CLIENT_APP_ANSWER=\"a=>\\x01\\nb\\\\n=>c\"\n", "\n" + answerFile + "=" + file + "\n"},
	} {
		out := printed(t, format, environ...)
		for _, text := range want {
			if format == "table" {
				out = strings.Join(strings.Fields(out), " ")
				text = strings.TrimSpace(strings.Join(strings.Fields(text), " "))
			}
			if !strings.Contains(out, text) {
				t.Errorf("%s lacks %s:\n%.3000s", format, text, out)
			}
		}
	}
	all, _ := Describe(environ)
	for _, s := range all {
		if s.Name == "HOLDFAST_CLIENT_APP_ANSWER" {
			if source, other := s.Source(); source != SourceFile || other != answerFile || s.IsSecret() {
				t.Errorf("the source is %s %s, secret: %t", source, other, s.IsSecret())
			}
		}
	}
}
