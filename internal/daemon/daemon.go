// Package daemon runs the proxy and its admin listener, and obeys the signals of the
// process.
//
// The path through it: New builds both from a configuration and binds their addresses.
// Run serves until a signal, then drains, and returns whether everything went well. The
// admin listener can begin the same drain, and the process lives on then (drain.go).
// status.go feeds what the status page shows. listening.go says what to do if an address
// cannot be listened on. certificates.go reads the TLS files again when they change.
// manager.go tells the service manager, such as systemd, how the daemon is. The log and the
// signals are arguments: this package does not touch the process.
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
	"holdfast/internal/panics"
	"holdfast/internal/status"
	"holdfast/metrics"
	"holdfast/proxy"
)

// proxyServer is the part of proxy.Server that a Daemon uses.
type proxyServer interface {
	admin.Proxy
	Run() error
	Drain(how proxy.Stop)
	Drained() <-chan struct{}
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
	book          *status.Book
	log           *slog.Logger
	term          proxy.Stop    // what SIGTERM does
	interrupt     proxy.Stop    // what SIGINT does
	asked         chan struct{} // has an item if the admin listener was asked for a drain
	told          told          // to the service manager
}

// New builds the proxy and its admin listener from c and binds their addresses. The proxy
// accepts on listen; if that is nil, it opens its own listener. New closes listen. settings
// are what operators are shown of c. lost returns how many lines of the log have been lost.
// The log and the metrics show version.
func New(c config.Config, settings []config.Setting, loaded config.Certificates, listen *os.File, log *slog.Logger, lost func() uint64, version string) (*Daemon, error) {
	defer listen.Close() // proxy.New duplicates it; Close on nil does nothing
	adminListener, err := listenAdmin(string(c.AdminListen))
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // if it fails, the admin listener does not accept the machine's own name
	m := metrics.New(version)
	m.CountLogLinesLost(lost)
	book := status.New(version, m.Snapshot, time.Now())
	of := c.Proxy(&loaded, listen, log, m)
	if adminListener != nil {
		of.Ended = func(e *proxy.Ended) { book.Ended(time.Now(), e) }
	}
	server, err := proxy.New(of)
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
		adminListener: adminListener,
		certificates:  loaded,
		metrics:       m,
		book:          book,
		log:           log,
		term:          c.Stop(),
		interrupt:     c.StopAtOnce(),
		asked:         make(chan struct{}, 1),
	}
	_, limitedBy := c.SessionLimit()
	d.admin = newAdmin(admin.Config{
		Proxy:     server,
		Book:      book,
		Variables: variables(settings),
		Drain:     d.drainOnly,
		Spread:    c.DrainSpread,
		DrainCode: uint16(c.CloseCodeDrain),
		LimitedBy: limitedBy,
		Token:     string(c.AdminToken),
		Host:      host,
		Profiling: c.PProf,
	}, m, log)
	d.announce(c, server.Addr(), version)
	return d, nil
}

// newAdmin returns the admin server that cfg describes, with the metrics of m. net/http
// catches its panics, and tells its log of them.
func newAdmin(cfg admin.Config, m *metrics.Metrics, log *slog.Logger) *admin.Server {
	cfg.Metrics = m.Handler()
	cfg.Log = log
	cfg.Connections = int(proxy.OwnDescriptors(0).Admin())
	cfg.ErrorLog = panics.New(log, m.CountPanic).ErrorLog(slog.LevelWarn)
	return admin.NewServer(cfg)
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
// for SIGINT. At a second signal it cuts the sessions that are left. For each signal from
// hangups it reads the TLS files again. It returns false if the proxy failed or if sessions
// had to be cut.
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
		go d.keepSampling(ctx)
		defer d.admin.Close()
	}
	return d.serve(ctx, signals, ended)
}

func (d *Daemon) runProxy(ended chan<- error) { ended <- d.proxy.Run() }

// runAdmin serves the admin listener until Run closes it. Sessions do not need it, so its
// failure is only logged.
func (d *Daemon) runAdmin() {
	if err := d.admin.Serve(d.adminListener); !errors.Is(err, http.ErrServerClosed) {
		d.log.Error("the admin listener failed", "error", err)
	}
}
