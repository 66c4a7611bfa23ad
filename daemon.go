package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast/internal/activation"
	"holdfast/internal/admin"
	"holdfast/internal/config"
	"holdfast/internal/linelog"
	"holdfast/metrics"
	"holdfast/proxy"
)

// flushTimeout is how long the end of the process waits for a log that stands still.
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

	// A log whose reader has gone must not take the sessions with it.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	d, err := newDaemon(c, loaded, listen, log)
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	return d.run(signals, hangups)
}

// listenFile returns the socket that systemd is to pass for HOLDFAST_LISTEN, or nil
// if it is to pass none. What is wrong with the way this process was started are
// problems.
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

// flush gives the log's last lines their chance. There is nowhere to say that
// they did not get out.
func flush(lines *linelog.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = lines.Close(ctx)
}

// proxyServer is what a daemon wants of a proxy.Server.
type proxyServer interface {
	admin.Proxy
	Run() error
	Shutdown(ctx context.Context) (cut int, err error)
}

// daemon is a proxy with its admin listener, built and bound but not yet running.
type daemon struct {
	proxy         proxyServer
	admin         *admin.Server
	adminListener net.Listener // nil if there is to be none
	certificates  config.Certificates
	metrics       *metrics.Metrics
	log           *slog.Logger
}

// newDaemon makes a daemon whose proxy accepts on listen, or if that is nil
// makes its listener itself.
func newDaemon(c config.Config, loaded config.Certificates, listen *os.File, log *slog.Logger) (*daemon, error) {
	defer listen.Close() // the proxy has a duplicate then; nil does no harm
	adminListener, err := listenAdmin(string(c.AdminListen))
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // without it the admin listener has one name less
	m := metrics.New(ownVersion())
	server, err := proxy.New(c.Proxy(&loaded, listen, log, m))
	if err != nil {
		if adminListener != nil {
			adminListener.Close()
		}
		return nil, named("HOLDFAST_LISTEN", err)
	}
	d := &daemon{
		proxy: server,
		admin: admin.NewServer(admin.Config{
			Proxy:     server,
			Host:      host,
			Metrics:   m.Handler(),
			Profiling: c.PProf,
			Log:       log,
		}),
		adminListener: adminListener,
		certificates:  loaded,
		metrics:       m,
		log:           log,
	}
	d.announce(c, server.Addr())
	return d, nil
}

// announce says what is about to run, and what of it should not stay so.
func (d *daemon) announce(c config.Config, listen net.Addr) {
	d.log.Info("holdfast starts",
		"version", ownVersion(),
		"listen", listen.String(),
		"tls", d.certificates.Server != nil,
		"upstream", c.Upstream.String(),
		"admin", addressOf(d.adminListener))
	for _, warning := range c.Warnings() {
		d.log.Warn("configuration needs attention", "variable", warning.Variable, "why", warning.String())
	}
	for _, w := range d.certificates.Watched {
		d.noteCertificates(w)
	}
}

// listenAdmin returns nil for an admin listener that is off.
func listenAdmin(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, named("HOLDFAST_ADMIN_LISTEN", err)
	}
	return listener, nil
}

// named says which variable holds the address that cannot be listened on, be it
// that of a socket whose file is in the way.
func named(variable string, err error) error {
	var op *net.OpError
	var file *fs.PathError
	if errors.As(err, &op) && op.Op == "listen" || errors.As(err, &file) {
		return fmt.Errorf("%s: %w", variable, err)
	}
	return err
}

func addressOf(listener net.Listener) string {
	if listener == nil {
		return "off"
	}
	return listener.Addr().String()
}

// run serves until the first of signals, drains, and returns the exit code. At
// each of hangups the TLS files are read again.
func (d *daemon) run(signals, hangups <-chan os.Signal) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go d.keepCertificates(ctx, hangups)
	ended := make(chan error, 1)
	go d.runProxy(ended)
	if d.adminListener != nil {
		go d.runAdmin()
		defer d.admin.Close()
	}
	select {
	case err := <-ended:
		d.log.Error("the proxy failed", "error", err)
		return exitFailed
	case s := <-signals:
		d.log.Info("draining", "signal", s.String(), "sessions", d.proxy.Sessions())
	}
	return d.drain(signals, ended)
}

func (d *daemon) runProxy(ended chan<- error) { ended <- d.proxy.Run() }

// runAdmin goes on for as long as the proxy does. Without it the sessions still
// live, so its failure ends nothing.
func (d *daemon) runAdmin() {
	if err := d.admin.Serve(d.adminListener); !errors.Is(err, http.ErrServerClosed) {
		d.log.Error("the admin listener failed", "error", err)
	}
}

// drain ends every session: with a Close, or at once after another signal.
func (d *daemon) drain(signals <-chan os.Signal, ended <-chan error) int {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	go d.cutOnSignal(ctx, cut, signals)

	left, err := d.proxy.Shutdown(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("shutdown failed", "error", err)
		return exitFailed
	}
	if err := <-ended; err != nil {
		d.log.Error("the proxy failed", "error", err)
		return exitFailed
	}
	d.log.Info("holdfast ends", "cut", left)
	if left > 0 {
		return exitFailed
	}
	return exitOK
}

// cutOnSignal calls cut at the next signal, and ends when ctx does.
func (d *daemon) cutOnSignal(ctx context.Context, cut context.CancelFunc, signals <-chan os.Signal) {
	select {
	case s := <-signals:
		d.log.Warn("cutting the sessions that are left", "signal", s.String(), "sessions", d.proxy.Sessions())
		cut()
	case <-ctx.Done():
	}
}
