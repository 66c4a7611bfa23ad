package main

import (
	"fmt"
	"io"
	"strings"

	"holdfast/internal/command"
	"holdfast/internal/config"
)

// writePage writes the page holdfast(1), in the language of man(7).
func writePage(w io.Writer, version string) error {
	all, _ := config.Describe(nil) // without an environment HOLDFAST_UPSTREAM is missing
	var b strings.Builder
	fmt.Fprintf(&b, ".TH HOLDFAST 1 \"\" \"Holdfast %s\" \"User Commands\"\n", text(version))
	b.WriteString(".SH NAME\nholdfast \\- WebSocket keepalive proxy\n.SH SYNOPSIS\n")
	for _, page := range command.Pages() {
		fmt.Fprintf(&b, ".B holdfast %s\n", text(page.Name))
		if page.Args != "" {
			fmt.Fprintf(&b, "%s\n", text(page.Args))
		}
		b.WriteString(".br\n")
	}
	b.WriteString(".SH DESCRIPTION\n" +
		"Holdfast stands in front of a WebSocket service that has no keepalive of its own.\n" +
		"It pings both peers of each session, answers their pings, ends both connections when one peer stops answering, and counts each drop for Prometheus.\n" +
		"It is configured by environment variables alone.\n.SH COMMANDS\n")
	for _, page := range command.Pages() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s.\n", text(strings.TrimSpace(page.Name+" "+page.Args)), text(sentence(page.Does)))
		for _, detail := range page.Details {
			fmt.Fprintf(&b, ".IP\n%s\n", text(detail))
		}
	}
	b.WriteString(".SH ENVIRONMENT\n")
	for _, s := range all {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s.\n", text(s.Name), text(sentence(plain(s.Meaning))))
		if s.Default != "" {
			fmt.Fprintf(&b, "Default:\n.BR %s .\n", text(s.Default))
		}
	}
	b.WriteString(".SH SIGNALS\n" +
		".TP\n.B SIGTERM\ndrains: all sessions end with a Close, spread over some time. A second signal ends Holdfast at once.\n" +
		".TP\n.B SIGINT\nthe same without delay and spread.\n" +
		".TP\n.B SIGHUP\nreads TLS files again.\n" +
		".SH EXIT STATUS\n" +
		".TP\n.B 0\nclean.\n" +
		".TP\n.B 1\na runtime error, or a stop that had to cut living sessions.\n" +
		".TP\n.B 2\nwrong usage of the command line.\n" +
		".TP\n.B 78\nbad configuration.\n" +
		".SH FILES\n" +
		".TP\n.I /etc/holdfast/holdfast.env\nthe environment of the systemd unit.\n" +
		".SH SEE ALSO\n.BR systemd.service (5),\n.BR systemd.socket (5)\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// text returns what stands for a text in a page: man would take a backslash, a hyphen, and
// a dot or quote at the beginning of a line, for its own.
func text(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ", "…", "...", "’", "'").Replace(strings.TrimSpace(s))
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// sentence returns s without a dot at its end.
func sentence(s string) string { return strings.TrimSuffix(s, ".") }

// plain returns a text without the marks of Markdown.
func plain(s string) string { return strings.ReplaceAll(s, "`", "") }
