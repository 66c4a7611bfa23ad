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
	"holdfast/internal/notify"
)

// flushTimeout is how long the process, at its end, waits for a log that nobody reads.
const flushTimeout = 2 * time.Second

// serve runs the proxy until a signal ends it.
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
	// Without this, the process would end when the reader of its log ends.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM) // to the end: a later signal must not change the exit code
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	log, lines := linelog.New(p.stderr, c.LogsText(linelog.IsTerminal(p.stderr)), slog.Level(c.LogLevel))
	defer flush(lines)

	settings, _ := config.Describe(p.environ) // configuration has reported the problems
	d, err := daemon.New(c, settings, loaded, listen, log, lines.Lost, ownVersion())
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	manager := notify.New(p.environ, os.Getpid())
	defer manager.Close()
	d.Notify(manager)
	if !d.Run(signals, hangups) {
		return exitFailed
	}
	return exitOK
}

// listenFile returns the socket that systemd passed for HOLDFAST_LISTEN. It returns nil if
// HOLDFAST_LISTEN is another kind of address. If systemd did not pass the socket, the error
// is a problem of that variable.
func listenFile(environ []string, c config.Config) (*os.File, error) {
	name, wanted := c.Listen.Systemd()
	if !wanted {
		return nil, nil
	}
	file, err := activation.Listener(environ, name)
	if err != nil {
		return nil, config.Problems{{Variable: "HOLDFAST_LISTEN", Value: string(c.Listen), Reason: err.Error()}}
	}
	if at, err := activation.Address(file); err == nil {
		if found := c.LeadsBack(at, at+", the socket that systemd has passed"); len(found) > 0 {
			file.Close()
			return nil, found
		}
	}
	return file, nil
}

// flush waits until the last lines of the log are written, but no longer than
// flushTimeout. A failure cannot be reported, since the log is the only place for it.
func flush(lines *linelog.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = lines.Close(ctx)
}
