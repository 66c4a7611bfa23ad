package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refuses wants NewServer to find exactly these problems, each being a beginning
// and something that follows it.
func refuses(t *testing.T, files Files, want ...[2]string) {
	t.Helper()
	_, err := NewServer(files)
	var found Problems
	if !errors.As(err, &found) {
		t.Fatalf("NewServer: %v, want Problems", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(lines), len(want), err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i][0]) || !strings.Contains(line, want[i][1]) {
			t.Errorf("problem %q, want it to begin with %q and to say %q", line, want[i][0], want[i][1])
		}
	}
}

func TestProblems(t *testing.T) {
	root := newRoot(t, "root")
	leaf := root.leaf(t)
	oldEncrypted := string(pem.EncodeToMemory(&pem.Block{
		Type:    "EC PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
		Bytes:   []byte("ciphertext"),
	}))
	badCert := pemText(certificateBlock, []byte("no ASN.1"))
	for _, test := range []struct {
		name, file, text string // what is written to which file
		variable, says   string // whose problem it is and what is said of it
	}{
		{"empty certificate", "tls.crt", "", "CERT_FILE", "is empty"},
		{"certificate in DER", "tls.crt", string(leaf.cert.Raw), "CERT_FILE", "is not a PEM file; convert it"},
		{"key as certificate", "tls.crt", leaf.keyPEM(t), "CERT_FILE", "holds no CERTIFICATE but PRIVATE KEY"},
		{"another kind of certificate", "tls.crt", pemText("TRUSTED CERTIFICATE", leaf.cert.Raw), "CERT_FILE", "holds no CERTIFICATE but TRUSTED CERTIFICATE"},
		{"bad certificate", "tls.crt", badCert, "CERT_FILE", "number 1 in the file, that cannot be used"},
		{"bad intermediate", "tls.crt", leaf.certPEM() + badCert, "CERT_FILE", "number 2 in the file, that cannot be used"},
		{"chain cut off", "tls.crt", leaf.certPEM() + root.certPEM()[:100], "CERT_FILE", "broken or cut off"},
		{"root before leaf", "tls.crt", root.certPEM() + leaf.certPEM(), "KEY_FILE", "does not work with the first certificate in CERT_FILE="},
		{"another's key", "tls.key", root.keyPEM(t), "KEY_FILE", "does not match"},
		{"key of another type", "tls.key", issue(t, root, rsaKey(t), func(*x509.Certificate) {}).keyPEM(t), "KEY_FILE", "does not match"},
		{"key that is none", "tls.key", pemText(keyBlock, []byte("no ASN.1")), "KEY_FILE", "failed to parse private key"},
		{"certificate as key", "tls.key", leaf.certPEM(), "KEY_FILE", "holds no PRIVATE KEY but CERTIFICATE"},
		{"encrypted key", "tls.key", pemText("ENCRYPTED PRIVATE KEY", []byte("ciphertext")), "KEY_FILE", "openssl pkey"},
		{"encrypted key, old way", "tls.key", oldEncrypted, "KEY_FILE", "openssl pkey"},
		{"no roots", "ca.crt", "# none yet\n", "CA_FILE", "is not a PEM file"},
		{"empty roots", "ca.crt", "", "CA_FILE", "is empty"},
		{"bad roots", "ca.crt", badCert, "CA_FILE", "holds no certificate that can be used"},
		{"key as roots", "ca.crt", root.keyPEM(t), "CA_FILE", "holds no CERTIFICATE but PRIVATE KEY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := newFolder(t)
			dir.writePair(leaf)
			dir.writeRoots(root)
			dir.write(test.file, test.text)
			path := map[string]string{"CERT_FILE": "tls.crt", "KEY_FILE": "tls.key", "CA_FILE": "ca.crt"}[test.variable]
			refuses(t, dir.all(), [2]string{test.variable + `="` + dir.path(path) + `" `, test.says})
		})
	}
}

func TestProblemsOfPaths(t *testing.T) {
	dir := newFolder(t)
	dir.writePair(newRoot(t, "root").leaf(t))
	files := dir.all()
	files.CA.Path = dir.path("tls.key/ca.crt")
	refuses(t, files, [2]string{"CA_FILE=", "cannot be read: not a directory"})
	files.CA.Path = dir.dir
	refuses(t, files, [2]string{"CA_FILE=", "is a directory"})
	files.CA.Path = dir.path("pipe")
	if err := syscall.Mkfifo(files.CA.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, files, [2]string{"CA_FILE=", "is a pipe or a device"})
	files = dir.pair()
	files.Key.Path = ""
	refuses(t, files, [2]string{"KEY_FILE is not set, but CERT_FILE=", "set both or neither"})
	files = dir.pair()
	files.Cert.Path = ""
	refuses(t, files, [2]string{"CERT_FILE is not set, but KEY_FILE=", "set both or neither"})
}

func TestProblemsAllAtOnce(t *testing.T) {
	dir := newFolder(t)
	dir.write("tls.key", "no key")
	refuses(t, dir.all(),
		[2]string{"CERT_FILE=", "does not exist"},
		[2]string{"CA_FILE=", "does not exist"},
		[2]string{"KEY_FILE=", "is not a PEM file"})
}

func TestWarnings(t *testing.T) {
	root := newRoot(t, "root")
	between := issue(t, root, ecdsaKey(t), func(c *x509.Certificate) {
		asCA(c, "between")
		c.NotBefore = c.NotAfter.Add(-time.Minute)
	})
	leaf := issue(t, between, ecdsaKey(t), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	dir := newFolder(t)
	dir.writePair(leaf)
	dir.write("ca.crt", root.certPEM()+pemText(certificateBlock, []byte("no ASN.1")))
	server := newServer(t, dir.all())
	got := server.Warnings()
	want := []string{"certificate 1 of 2 expired", "certificate 2 of 2 is not valid before", "certificate 2 is left out"}
	if len(got) != len(want) {
		t.Fatalf("%d warnings, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("warning %q, want it to say %q", got[i], want[i])
		}
	}

	dir.writePair(root.leaf(t))
	dir.writeRoots(root)
	reloads(t, &server.keeper)
	if got := server.Warnings(); len(got) != 0 {
		t.Errorf("warnings of files that are in order: %q", got)
	}
}
