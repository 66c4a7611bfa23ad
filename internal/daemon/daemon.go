// Package daemon runs the proxy and its admin listener, and obeys the signals of the
// process.
//
// The path through it: New builds both from a configuration and binds their addresses.
// Run serves until a signal, then drains, and returns whether everything went well.
// listening.go says what to do if an address cannot be listened on. certificates.go reads
// the TLS files again when they change. manager.go tells the service manager, such as
// systemd, how the daemon is. The log and the signals are arguments: this package does not
// touch the process.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"holdfast/internal/admin"
	"holdfast/internal/config"
	"holdfast/internal/notify"
	"holdfast/internal/panics"
	"holdfast/metrics"
	"holdfast/proxy"
)

// proxyServer is the part of proxy.Server that a Daemon uses.
type proxyServer interface {
	admin.Proxy
	Run() error
	Turned() bool
	Shutdown(ctx context.Context, how proxy.Stop) (cut int, err error)
}

// Daemon is a proxy with its admin listener, built and bound but not yet running.
type Daemon struct {
	proxy         proxyServer
	admin         *admin.Server
	adminListener net.Listener // nil if it is off
	certificates  config.Certificates
	metrics       *metrics.Metrics
	log           *slog.Logger
	term          proxy.Stop // what SIGTERM does
	interrupt     proxy.Stop // what SIGINT does
	told          told       // to the service manager
}

// New builds the proxy and its admin listener from c and binds their addresses. The proxy
// accepts on listen; if that is nil, it opens its own listener. New closes listen. lost
// returns how many lines of the log have been lost. The log and the metrics show version.
func New(c config.Config, loaded config.Certificates, listen *os.File, log *slog.Logger, lost func() uint64, version string) (*Daemon, error) {
	defer listen.Close() // proxy.New duplicates it; Close on nil does nothing
	adminListener, err := listenAdmin(string(c.AdminListen))
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // if it fails, the admin listener does not accept the machine's own name
	m := metrics.New(version)
	m.CountLogLinesLost(lost)
	server, err := proxy.New(c.Proxy(&loaded, listen, log, m))
	if err != nil {
		if adminListener != nil {
			adminListener.Close()
		}
		if isTaken(c.Listen.Address(), adminListener, err) {
			return nil, fmt.Errorf("HOLDFAST_LISTEN: %w; HOLDFAST_ADMIN_LISTEN=%s is the same address: give each its own port", err, c.AdminListen)
		}
		return nil, named("HOLDFAST_LISTEN", c.Listen.Address(), err)
	}
	d := &Daemon{
		proxy:         server,
		admin:         newAdmin(server, host, c.PProf, m, log),
		adminListener: adminListener,
		certificates:  loaded,
		metrics:       m,
		log:           log,
		term:          c.Stop(),
		interrupt:     c.StopAtOnce(),
	}
	d.announce(c, server.Addr(), version)
	return d, nil
}

// newAdmin returns the admin server of a proxy. net/http catches its panics, and tells its
// log of them.
func newAdmin(server admin.Proxy, host string, profiling bool, m *metrics.Metrics, log *slog.Logger) *admin.Server {
	return admin.NewServer(admin.Config{
		Proxy:     server,
		Host:      host,
		Metrics:   m.Handler(),
		Profiling: profiling,
		ErrorLog:  panics.New(log, m.CountPanic).ErrorLog(slog.LevelWarn),
	})
}

// announce logs what starts, and which settings need attention.
func (d *Daemon) announce(c config.Config, listen net.Addr, version string) {
	limit, from := c.SessionLimit()
	d.log.Info("holdfast starts",
		"version", version,
		"listen", nameOf(listen),
		"tls", d.certificates.Server != nil,
		"upstream", c.Upstreams.String(),
		"admin", addressOf(d.adminListener),
		"max_sessions", limit,
		"limited_by", from)
	for _, warning := range c.Warnings() {
		d.log.Warn("configuration needs attention", "variable", warning.Variable, "why", warning.String())
	}
	for _, w := range d.certificates.Watched {
		d.noteCertificates(w)
	}
}

// Run serves until the first signal from signals, then drains: slowly for SIGTERM, at once
// for SIGINT. At a second signal it cuts the sessions that are left. For each signal from hangups it reads the TLS files again. It
// returns false if the proxy failed or if sessions had to be cut.
func (d *Daemon) Run(signals, hangups <-chan os.Signal) bool {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go d.keepCertificates(ctx, hangups)
	ended := make(chan error, 1)
	go d.runProxy(ended)
	d.tellReady()
	go d.tellManager(ctx)
	if d.adminListener != nil {
		go d.runAdmin()
		defer d.admin.Close()
	}
	select {
	case err := <-ended:
		d.log.Error("the proxy failed", "error", err)
		return false
	case s := <-signals:
		how := d.term
		if s == os.Interrupt {
			how = d.interrupt
		}
		d.tell(notify.Stopping)
		d.log.Info("draining", "signal", s.String(), "sessions", d.proxy.Sessions(), "at_most_s", how.Longest().Seconds())
		return d.drain(how, signals, ended)
	}
}

func (d *Daemon) runProxy(ended chan<- error) { ended <- d.proxy.Run() }

// runAdmin serves the admin listener until Run closes it. Sessions do not need it, so its
// failure is only logged.
func (d *Daemon) runAdmin() {
	if err := d.admin.Serve(d.adminListener); !errors.Is(err, http.ErrServerClosed) {
		d.log.Error("the admin listener failed", "error", err)
	}
}

// drain ends every session with a Close, as how says. At another signal it cuts those that
// are left. It returns false if the proxy failed or if sessions had to be cut.
func (d *Daemon) drain(how proxy.Stop, signals <-chan os.Signal, ended <-chan error) bool {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	go d.cutOnSignal(ctx, cut, signals)
	go d.tellProgress(ctx)

	left, err := d.proxy.Shutdown(ctx, how)
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("shutdown failed", "error", err)
		return false
	}
	if err := <-ended; err != nil {
		d.log.Error("the proxy failed", "error", err)
		return false
	}
	d.log.Info("holdfast ends", "cut", left)
	return left == 0
}

// progressEvery is how often a drain says how far it has come.
const progressEvery = 5 * time.Second

// tellProgress logs how many clients are left, until ctx ends.
func (d *Daemon) tellProgress(ctx context.Context) {
	began := time.Now()
	ticks := time.NewTicker(progressEvery)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			d.log.Info("still draining", "sessions", d.proxy.Sessions(), "after_s", now.Sub(began).Round(time.Second).Seconds())
		case <-ctx.Done():
			return
		}
	}
}

// cutOnSignal calls cut at the next signal. It returns when ctx ends.
func (d *Daemon) cutOnSignal(ctx context.Context, cut context.CancelFunc, signals <-chan os.Signal) {
	select {
	case s := <-signals:
		d.log.Warn("cutting the sessions that are left", "signal", s.String(), "sessions", d.proxy.Sessions())
		cut()
	case <-ctx.Done():
	}
}
