//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a certificate authority that only its test knows.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate, PEM
}

// identity is a certificate and its key.
type identity struct {
	leaf              *x509.Certificate
	certFile, keyFile string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), key: newKey(t)}
	template := certificate(t, "authority", time.Now().Add(time.Hour))
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	a.cert = a.signs(template, template, &a.key.PublicKey)
	a.file = filepath.Join(a.dir, "ca.crt")
	a.writes(a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

// issues makes a certificate for names and addresses, good for the time of a test.
func (a *authority) issues(names ...string) identity {
	a.t.Helper()
	return a.issuesUntil(time.Now().Add(time.Hour), names...)
}

func (a *authority) issuesUntil(end time.Time, names ...string) identity {
	a.t.Helper()
	template := certificate(a.t, names[0], end)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := newKey(a.t)
	leaf := a.signs(template, a.cert, &key.PublicKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	i := identity{leaf: leaf}
	base := filepath.Join(a.dir, i.serial())
	i.certFile, i.keyFile = base+".crt", base+".key"
	a.writes(i.certFile, "CERTIFICATE", leaf.Raw)
	a.writes(i.keyFile, "PRIVATE KEY", pkcs8)
	return i
}

func (a *authority) signs(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) writes(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certificate(t *testing.T, name string, end time.Time) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     end,
	}
}

// serial is the certificate's number as peers tell it.
func (i identity) serial() string { return hex.EncodeToString(i.leaf.SerialNumber.Bytes()) }

// served are the settings of a proxy that is i to its clients.
func (i identity) served() []string {
	return []string{"HOLDFAST_TLS_CERT_FILE=" + i.certFile, "HOLDFAST_TLS_KEY_FILE=" + i.keyFile}
}

// pin is how a browser is told to believe i's key, whoever signed it.
func (i identity) pin() string {
	sum := sha256.Sum256(i.leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
