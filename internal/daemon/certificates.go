package daemon

import (
	"context"
	"os"
	"time"

	"holdfast/internal/config"
)

// certificatesEvery is how often TLS files are checked for changes. Tools renew a
// certificate days before it expires, so this is soon enough.
const certificatesEvery = 5 * time.Second

// keepCertificates reads the TLS files again when they change, and for each signal from
// hangups, until ctx ends.
func (d *Daemon) keepCertificates(ctx context.Context, hangups <-chan os.Signal) {
	for _, w := range d.certificates.Watched {
		go w.Watch(ctx, certificatesEvery, func(changed bool, err error) { d.certificatesRead(w, changed, err) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			d.rereadCertificates()
		}
	}
}

func (d *Daemon) rereadCertificates() {
	d.tellReloading()
	if len(d.certificates.Watched) == 0 {
		d.log.Info("SIGHUP is for TLS files, and there are none to read again")
	}
	for _, w := range d.certificates.Watched {
		w.Kick()
	}
}

func (d *Daemon) certificatesRead(w config.Watched, changed bool, err error) {
	switch {
	case err != nil:
		d.metrics.ReloadFailed()
		d.log.Error("TLS files cannot be used; those loaded before stay in use", "side", w.Side, "error", err)
	case changed:
		d.noteCertificates(w)
		d.log.Info("TLS files loaded", "side", w.Side)
	default:
		d.log.Info("TLS files are in order, and the same as before", "side", w.Side)
	}
	d.tellReloaded(w.Side)
}

// noteCertificates logs warnings about the loaded files, and sets the metric of the
// certificate's expiry.
func (d *Daemon) noteCertificates(w config.Watched) {
	for _, warning := range w.Warnings() {
		d.log.Warn("TLS files need attention", "side", w.Side, "why", warning)
	}
	if server := d.certificates.Server; server != nil {
		d.metrics.SetTLSCertificateExpiry(server.Expiry())
	}
}
