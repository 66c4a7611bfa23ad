package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const serverName = "holdfast.example"

// identity is a certificate with its key and what leads to its root.
type identity struct {
	cert   *x509.Certificate
	key    crypto.Signer
	issuer *identity // nil for a root
}

// newRoot makes a CA that vouches for itself.
func newRoot(t *testing.T, name string) *identity {
	t.Helper()
	return issue(t, nil, ecdsaKey(t), func(c *x509.Certificate) { asCA(c, name) })
}

// intermediate makes a CA that i vouches for.
func (i *identity) intermediate(t *testing.T, name string) *identity {
	t.Helper()
	return issue(t, i, ecdsaKey(t), func(c *x509.Certificate) { asCA(c, name) })
}

// leaf makes a certificate for serverName that does for both sides.
func (i *identity) leaf(t *testing.T) *identity {
	t.Helper()
	return issue(t, i, ecdsaKey(t), func(*x509.Certificate) {})
}

func asCA(c *x509.Certificate, name string) {
	c.Subject = pkix.Name{CommonName: name}
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign
	c.DNSNames = nil
}

func issue(t *testing.T, issuer *identity, key crypto.Signer, change func(*x509.Certificate)) *identity {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: serverName},
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(template)
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert, key, issuer}
}

func ecdsaKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certPEM is the certificate and those that lead to its root, but for the root.
func (i *identity) certPEM() string {
	text := pemText(certificateBlock, i.cert.Raw)
	if i.issuer != nil && i.issuer.issuer != nil {
		text += i.issuer.certPEM()
	}
	return text
}

func (i *identity) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pemText(keyBlock, der)
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// folder is a directory of TLS files.
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) folder { return folder{t, t.TempDir()} }

// pair has only the files of a certificate and its key.
func (f folder) pair() Files {
	return Files{
		Cert: File{"CERT_FILE", f.path("tls.crt")},
		Key:  File{"KEY_FILE", f.path("tls.key")},
		CA:   File{"CA_FILE", ""},
	}
}

// all has the files of a certificate, its key and the roots.
func (f folder) all() Files {
	files := f.pair()
	files.CA.Path = f.path("ca.crt")
	return files
}

// roots has only the file of the roots.
func (f folder) roots() Files {
	files := f.all()
	files.Cert.Path, files.Key.Path = "", ""
	return files
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) writePair(i *identity) {
	f.t.Helper()
	f.write("tls.crt", i.certPEM())
	f.write("tls.key", i.keyPEM(f.t))
}

func (f folder) writeRoots(roots ...*identity) {
	f.t.Helper()
	text := ""
	for _, root := range roots {
		text += root.certPEM()
	}
	f.write("ca.crt", text)
}
