package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func newServer(t *testing.T, files Files) *Server {
	t.Helper()
	s, err := NewServer(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reloads wants the files to hold something new that is in order.
func reloads(t *testing.T, k *keeper) {
	t.Helper()
	if changed, err := k.Reload(); !changed || err != nil {
		t.Fatalf("Reload() = %t, %v, want true, nil", changed, err)
	}
}

func TestServerMeetsClients(t *testing.T) {
	root := newRoot(t, "root")
	between := root.intermediate(t, "between")
	keys := map[string]crypto.Signer{"ECDSA": ecdsaKey(t), "RSA": rsaKey(t)}
	for name, key := range keys {
		for version, number := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				leaf := issue(t, between, key, func(*x509.Certificate) {})
				dir := newFolder(t)
				dir.writePair(leaf)
				server := newServer(t, dir.pair())
				s := connect(t, server.Config(), only(trusting(root), number))
				s.shown(t, leaf, "its chain leads to the root by way of the intermediate")
				s.works(t, "after the handshake")
				if !server.Expiry().Equal(leaf.cert.NotAfter) {
					t.Errorf("Expiry() = %v, want the leaf's %v", server.Expiry(), leaf.cert.NotAfter)
				}
			})
		}
	}
}

func TestServerTakesOlderKeyFormats(t *testing.T) {
	root := newRoot(t, "root")
	ec, classic := ecdsaKey(t), rsaKey(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind string
		key  crypto.Signer
		der  []byte
	}{
		{"EC PRIVATE KEY", ec, sec1},
		{"RSA PRIVATE KEY", classic, x509.MarshalPKCS1PrivateKey(classic)},
	} {
		dir := newFolder(t)
		leaf := issue(t, root, test.key, func(*x509.Certificate) {})
		dir.write("tls.crt", leaf.certPEM())
		dir.write("tls.key", "before the block\n"+pemText("EC PARAMETERS", []byte{5, 0})+pemText(test.kind, test.der))
		connect(t, newServer(t, dir.pair()).Config(), trusting(root)).shown(t, leaf, test.kind)
	}
}

func TestServerRefusesOldVersions(t *testing.T) {
	root := newRoot(t, "root")
	dir := newFolder(t)
	dir.writePair(root.leaf(t))
	_, serverErr, clientErr := handshake(t, newServer(t, dir.pair()).Config(), only(trusting(root), tls.VersionTLS11))
	if serverErr == nil || clientErr == nil {
		t.Errorf("TLS 1.1: server: %v, client: %v, want errors", serverErr, clientErr)
	}
}

// A client that wants only HTTP/2 cannot open a WebSocket here.
func TestServerSpeaksOnlyHTTP11(t *testing.T) {
	root := newRoot(t, "root")
	dir := newFolder(t)
	dir.writePair(root.leaf(t))
	server := newServer(t, dir.pair())
	for _, test := range []struct {
		offer   []string
		want    string
		refused bool
	}{
		{offer: nil, want: ""},
		{offer: []string{"http/1.1"}, want: "http/1.1"},
		{offer: []string{"h2", "http/1.1"}, want: "http/1.1"},
		{offer: []string{"h2"}, refused: true},
	} {
		s, serverErr, clientErr := handshake(t, server.Config(), offering(trusting(root), test.offer...))
		switch {
		case test.refused:
			// The type of an alert (RFC 7301, section 3.2) is crypto/tls's own.
			if serverErr == nil || clientErr == nil || !strings.Contains(clientErr.Error(), "no application protocol") {
				t.Errorf("offer %q: server: %v, client: %v, want no_application_protocol", test.offer, serverErr, clientErr)
			}
		case serverErr != nil || clientErr != nil:
			t.Errorf("offer %q: server: %v, client: %v", test.offer, serverErr, clientErr)
		default:
			if got := s.client.ConnectionState().NegotiatedProtocol; got != test.want {
				t.Errorf("offer %q: agreed on %q, want %q", test.offer, got, test.want)
			}
		}
	}
}

func TestServerReloads(t *testing.T) {
	root := newRoot(t, "root")
	first := root.leaf(t)
	second := issue(t, root, ecdsaKey(t), func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) })
	dir := newFolder(t)
	dir.writePair(first)
	server := newServer(t, dir.pair())
	live := connect(t, server.Config(), trusting(root))
	live.shown(t, first, "it is the one that was loaded first")

	dir.writePair(second)
	reloads(t, &server.keeper)
	live.works(t, "a session from before the reload goes on")
	connect(t, server.Config(), trusting(root)).shown(t, second, "it is the one on disk now")
	if !server.Expiry().Equal(second.cert.NotAfter) {
		t.Errorf("Expiry() = %v, want that of the new leaf, %v", server.Expiry(), second.cert.NotAfter)
	}
	if changed, err := server.Reload(); changed || err != nil {
		t.Errorf("Reload() of the same files = %t, %v, want false, nil", changed, err)
	}
}

// A handshake that began before a reload ends with what it began with.
func TestServerReloadsAmidHandshake(t *testing.T) {
	root := newRoot(t, "root")
	first, second := root.leaf(t), root.leaf(t)
	dir := newFolder(t)
	dir.writePair(first)
	server := newServer(t, dir.pair())
	client := trusting(root)
	client.VerifyConnection = func(tls.ConnectionState) error { // the server's part is done but for the end
		dir.writePair(second)
		_, err := server.Reload()
		return err
	}
	s := connect(t, server.Config(), client)
	s.shown(t, first, "the reload came after it was sent")
	s.works(t, "after a reload in the middle of the handshake")
}

// In Kubernetes the files are links through ..data, and that link is swapped.
func TestServerFollowsSwappedLink(t *testing.T) {
	root := newRoot(t, "root")
	first, second := root.leaf(t), root.leaf(t)
	dir := newFolder(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, leaf := range map[string]*identity{"..1": first, "..2": second} {
		must(os.Mkdir(dir.path(name), 0o700))
		folder{t, dir.path(name)}.writePair(leaf)
	}
	past := time.Now().Add(-24 * time.Hour)
	for _, name := range []string{"tls.crt", "tls.key"} {
		must(os.Symlink("..data/"+name, dir.path(name)))
		must(os.Chtimes(dir.path("..2/"+name), past, past)) // what is new may look old
	}
	must(os.Symlink("..1", dir.path("..data")))
	server := newServer(t, dir.pair())
	connect(t, server.Config(), trusting(root)).shown(t, first, "..data leads to it")

	must(os.Symlink("..2", dir.path("..data_tmp")))
	must(os.Rename(dir.path("..data_tmp"), dir.path("..data")))
	reloads(t, &server.keeper)
	connect(t, server.Config(), trusting(root)).shown(t, second, "..data leads to it now")
}

func TestServerKeepsWhatWorks(t *testing.T) {
	root := newRoot(t, "root")
	first, second := root.leaf(t), root.leaf(t)
	for name, spoil := range map[string]func(folder){
		"half swapped":      func(f folder) { f.write("tls.crt", second.certPEM()) },
		"cut off":           func(f folder) { f.write("tls.crt", second.certPEM()[:200]) },
		"key missing":       func(f folder) { os.Remove(f.path("tls.key")) },
		"emptied":           func(f folder) { f.write("tls.key", "") },
		"no roots any more": func(f folder) { f.write("ca.crt", "none\n") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := newFolder(t)
			dir.writePair(first)
			dir.writeRoots(root)
			server := newServer(t, dir.all())
			spoil(dir)
			for range 2 {
				changed, err := server.Reload()
				var found Problems
				if changed || !errors.As(err, &found) {
					t.Fatalf("Reload() = %t, %v, want false and Problems, at every call", changed, err)
				}
			}
			connect(t, server.Config(), as(trusting(root), first)).shown(t, first, "the new files are no good")

			dir.writePair(second)
			dir.writeRoots(root)
			reloads(t, &server.keeper)
			connect(t, server.Config(), as(trusting(root), first)).shown(t, second, "the new files are complete")
		})
	}
}

func TestServerWantsClientCertificate(t *testing.T) {
	root, clientRoot, stranger := newRoot(t, "root"), newRoot(t, "clients"), newRoot(t, "stranger")
	dir := newFolder(t)
	dir.writePair(root.leaf(t))
	dir.writeRoots(clientRoot)
	server := newServer(t, dir.all())
	known := clientRoot.intermediate(t, "department").leaf(t)
	// Without the hint of what the server accepts, as a client does that has only one.
	always := func(i *identity) *tls.Config {
		config := trusting(root)
		pair := i.pair()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return config
	}
	for version, number := range versions {
		s := connect(t, server.Config(), only(always(known), number))
		if !s.server.ConnectionState().PeerCertificates[0].Equal(known.cert) {
			t.Errorf("%s: the server saw another certificate", version)
		}
		for name, client := range map[string]*tls.Config{
			"no certificate": trusting(root),
			"of another CA":  always(stranger.leaf(t)),
			"expired":        always(issue(t, clientRoot, ecdsaKey(t), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })),
		} {
			_, serverErr, clientErr := handshake(t, server.Config(), only(client, number))
			if serverErr == nil || clientErr == nil {
				t.Errorf("%s, %s: server: %v, client: %v, want errors", version, name, serverErr, clientErr)
			}
		}
	}
}

func TestServerResumesAcrossReload(t *testing.T) {
	root := newRoot(t, "root")
	for version, number := range versions {
		t.Run(version, func(t *testing.T) {
			dir := newFolder(t)
			dir.writePair(root.leaf(t))
			server := newServer(t, dir.pair())
			client := only(trusting(root), number)
			client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			connect(t, server.Config(), client).resumed(t, false, "there was none before")
			connect(t, server.Config(), client).resumed(t, true, "the ticket is fresh")

			dir.writePair(root.leaf(t))
			reloads(t, &server.keeper)
			s := connect(t, server.Config(), client)
			s.resumed(t, true, "the keys of tickets outlive a reload")
			s.works(t, "resumed")
		})
	}
}

// A ticket must not let in a client that a reload has shut out.
func TestServerForgetsClientsOfRemovedRoot(t *testing.T) {
	root, before, after := newRoot(t, "root"), newRoot(t, "before"), newRoot(t, "after")
	for version, number := range versions {
		t.Run(version, func(t *testing.T) {
			dir := newFolder(t)
			dir.writePair(root.leaf(t))
			dir.writeRoots(before)
			server := newServer(t, dir.all())
			client := only(as(trusting(root), before.leaf(t)), number)
			client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			connect(t, server.Config(), client)
			connect(t, server.Config(), client).resumed(t, true, "its root is still there")

			dir.writeRoots(after)
			reloads(t, &server.keeper)
			if _, serverErr, clientErr := handshake(t, server.Config(), client); serverErr == nil || clientErr == nil {
				t.Errorf("server: %v, client: %v, want errors: its root has gone", serverErr, clientErr)
			}
			connect(t, server.Config(), only(as(trusting(root), after.leaf(t)), number)).works(t, "a client of the new root")
		})
	}
}

func TestServerNeedsCertificate(t *testing.T) {
	files := newFolder(t).roots()
	_, err := NewServer(files)
	if err == nil || !strings.HasPrefix(err.Error(), "CERT_FILE is not set") || !strings.Contains(err.Error(), "KEY_FILE") {
		t.Errorf("NewServer without a pair: %v, want an error that names both variables", err)
	}
}
