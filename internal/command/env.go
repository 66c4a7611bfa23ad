package command

import (
	"flag"
	"fmt"

	"holdfast/internal/config"
	"holdfast/internal/shown"
)

// showEnvironment prints the settings of an environment, also if it is refused: then
// people want to see them most. A missing upstream alone is not a failure, so that
// `holdfast env` can be the first thing that somebody runs.
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
