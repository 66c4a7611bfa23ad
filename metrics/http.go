package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusClasses are the values of the label code, by the status's first digit.
var statusClasses = [...]string{1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

// httpRequests counts the requests that were not upgrades, by their answer's status.
type httpRequests [len(statusClasses)]prometheus.Counter

func newHTTPRequests(registry *prometheus.Registry) (h httpRequests) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_http_requests_total",
		Help: "Requests passed on that were not WebSocket upgrades, by the class of the status they were answered with.",
	}, []string{"code"})
	registry.MustRegister(vec)
	for i, class := range statusClasses {
		if class != "" {
			h[i] = vec.WithLabelValues(class)
		}
	}
	return h
}

// HTTPRequest counts a request that was not an upgrade, by the status of its answer. A
// status outside 100 to 599 counts as 5xx.
func (m *Metrics) HTTPRequest(status int) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 5
	}
	m.httpRequests[class].Inc()
}

// SetTLSCertificateExpiry sets when the certificate that clients are shown expires. The
// gauge exists after the first call only.
func (m *Metrics) SetTLSCertificateExpiry(at time.Time) {
	m.expiryOnce.Do(func() { m.registry.MustRegister(m.certificateExpiry) })
	m.certificateExpiry.Set(float64(at.Unix()))
}

func newCertificateExpiry() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that clients are shown expires, in seconds since 1970.",
	})
}
