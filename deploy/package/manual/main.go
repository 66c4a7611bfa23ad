// Command manual writes what a package of Holdfast has beside the binary, from the tables
// that the binary prints: the page for man, and the completion for bash.
//
//	manual man VERSION | manual bash
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if err := write(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(2)
	}
}

// write writes what args name.
func write(w io.Writer, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "man":
		return writePage(w, args[1])
	case len(args) == 1 && args[0] == "bash":
		return writeCompletion(w)
	}
	return fmt.Errorf("unknown arguments %q; want man VERSION, or bash", args)
}
