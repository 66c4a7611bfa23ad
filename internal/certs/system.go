package certs

import "crypto/x509"

// SystemHasCAs reports whether the system has any CA. Small images often have none.
func SystemHasCAs() bool {
	pool, err := x509.SystemCertPool()
	return err == nil && !pool.Equal(x509.NewCertPool())
}
