package command

import (
	"flag"
	"fmt"

	"holdfast/internal/config"
	"holdfast/internal/shown"
)

// showEnvironment prints every setting, also if there are problems with them: then the
// settings are most useful. If the only problem is that the upstream is not set, the exit
// code is 0, because a new user may run `holdfast env` first.
func showEnvironment(p process, args []string) int {
	flags := flag.NewFlagSet("env", flag.ContinueOnError)
	format := flags.String("format", "table", "")
	if code, ok := p.parse(flags, args); !ok {
		return code
	}
	write, ok := config.Formats[*format]
	if !ok {
		return p.misused("unknown format " + shown.Quoted(*format))
	}
	all, found := config.Describe(p.environ)
	if err := write(p.stdout, all); err != nil {
		fmt.Fprintln(p.stderr, "holdfast: write settings:", err)
		return exitFailed
	}
	if len(found) == 0 || found.OnlyUpstreamMissing() {
		return exitOK
	}
	fmt.Fprintln(p.stderr, found)
	return exitConfig
}
