// Command holdfast is a WebSocket keepalive proxy: it stands in front of a
// service that never pings, pings both sides itself, and ends both when one
// stops answering. Environment variables are its only configuration; `holdfast -h`
// lists them.
package main

import (
	"os"

	"holdfast/internal/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
