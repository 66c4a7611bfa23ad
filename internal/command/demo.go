package command

import (
	"flag"

	"holdfast/internal/demo"
)

// showDemo runs the demo. The demo does not need a configuration.
func showDemo(p process, args []string) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "")
	if code, ok := p.parse(flags, args); !ok {
		return code
	}
	if !demo.Run(*once, p.stdout, p.stderr) {
		return exitFailed
	}
	return exitOK
}
