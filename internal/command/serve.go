package command

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast/internal/activation"
	"holdfast/internal/config"
	"holdfast/internal/daemon"
	"holdfast/internal/linelog"
)

// flushTimeout is how long the end of the process waits for a log that nobody reads.
const flushTimeout = 2 * time.Second

// serve runs the proxy until it is told to end.
func serve(p process, args []string) int {
	if code, ok := p.parseNone("serve", args); !ok {
		return code
	}
	c, loaded, ok := p.configuration()
	if !ok {
		return exitConfig
	}
	listen, err := listenFile(p.environ, c)
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return exitConfig
	}
	log, lines := linelog.New(p.stderr, c.LogsText(linelog.IsTerminal(p.stderr)), slog.Level(c.LogLevel))
	defer flush(lines)

	// If the log's reader is gone, the sessions go on.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	d, err := daemon.New(c, loaded, listen, log, ownVersion())
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	if !d.Run(signals, hangups) {
		return exitFailed
	}
	return exitOK
}

// listenFile returns the socket that systemd is to pass for HOLDFAST_LISTEN, or nil if
// that is another kind of address. If systemd passed no such socket, the error is a
// problem of that variable.
func listenFile(environ []string, c config.Config) (*os.File, error) {
	name, wanted := c.Listen.Systemd()
	if !wanted {
		return nil, nil
	}
	file, err := activation.Listener(environ, name)
	if err != nil {
		return nil, config.Problems{{Variable: "HOLDFAST_LISTEN", Value: string(c.Listen), Reason: err.Error()}}
	}
	return file, nil
}

// flush waits until the log's last lines are written, but not for long. There is nowhere
// to report that they were not.
func flush(lines *linelog.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = lines.Close(ctx)
}
