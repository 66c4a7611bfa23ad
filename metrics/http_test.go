package metrics

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestHTTPRequests(t *testing.T) {
	m := New("test")
	for _, status := range []int{http.StatusOK, http.StatusNoContent, http.StatusNotFound, http.StatusBadGateway, 99, 999} {
		m.HTTPRequest(status)
	}
	const want = `
# HELP holdfast_http_requests_total Requests passed on that were not WebSocket upgrades, by the class of the status they were answered with.
# TYPE holdfast_http_requests_total counter
holdfast_http_requests_total{code="1xx"} 0
holdfast_http_requests_total{code="2xx"} 2
holdfast_http_requests_total{code="3xx"} 0
holdfast_http_requests_total{code="4xx"} 1
holdfast_http_requests_total{code="5xx"} 3
`
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(want), "holdfast_http_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestCertificateExpiryIsThereWithACertificateOnly(t *testing.T) {
	const name = "holdfast_tls_certificate_expiry_timestamp_seconds"
	m := New("test")
	if n, err := testutil.GatherAndCount(m.Registry(), name); n != 0 || err != nil {
		t.Errorf("%d gauges without a certificate, %v", n, err)
	}
	for _, at := range []int64{1_900_000_000, 2_000_000_000} {
		m.SetTLSCertificateExpiry(time.Unix(at, 0))
		if got := testutil.ToFloat64(m.certificateExpiry); got != float64(at) {
			t.Errorf("%s is %v, want %v", name, got, at)
		}
	}
	if n, err := testutil.GatherAndCount(m.Registry(), name); n != 1 || err != nil {
		t.Errorf("%d gauges with a certificate, %v", n, err)
	}
}
