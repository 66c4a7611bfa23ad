package command

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker in a release:
// -ldflags '-X holdfast/internal/command.version=v1.2.3'.
var version = ""

func showVersion(p process, args []string) int {
	if code, ok := p.parseNone("version", args); !ok {
		return code
	}
	fmt.Fprintf(p.stdout, "holdfast %s %s %s/%s\n", ownVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}

// ownVersion returns the version of the release, or else that of the module as the go
// command recorded it.
func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
