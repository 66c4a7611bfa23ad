package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
)

func newClient(t *testing.T, files Files, serverName string, insecure bool) *Client {
	t.Helper()
	c, err := NewClient(files, serverName, insecure)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// upstream is a server with the certificate of i.
func upstream(i *identity) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{i.pair()}}
}

// demanding is an upstream that wants a certificate which leads to root.
func demanding(i, root *identity) *tls.Config {
	config := upstream(i)
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, pool
	return config
}

func TestClientChecksUpstream(t *testing.T) {
	root, stranger := newRoot(t, "root"), newRoot(t, "stranger")
	dir := newFolder(t)
	dir.writeRoots(stranger, root)
	address := issue(t, root, ecdsaKey(t), func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv6loopback}
	})
	for _, test := range []struct {
		name     string
		files    Files
		setName  string
		insecure bool
		host     string
		upstream *identity
		ok       bool
	}{
		{name: "host", files: dir.roots(), host: serverName, upstream: root.leaf(t), ok: true},
		{name: "address", files: dir.roots(), host: "::1", upstream: address, ok: true},
		{name: "other host", files: dir.roots(), host: "other.example", upstream: root.leaf(t)},
		{name: "name set", files: dir.roots(), setName: serverName, host: "other.example", upstream: root.leaf(t), ok: true},
		{name: "wrong name set", files: dir.roots(), setName: "other.example", host: serverName, upstream: root.leaf(t)},
		{name: "unknown root", files: dir.roots(), host: serverName, upstream: newRoot(t, "x").leaf(t)},
		{name: "not one of the system's roots", host: serverName, upstream: root.leaf(t)},
		{name: "insecure", insecure: true, host: "other.example", upstream: root.leaf(t), ok: true},
	} {
		client := newClient(t, test.files, test.setName, test.insecure)
		s, serverErr, clientErr := handshake(t, upstream(test.upstream), client.Config(test.host))
		switch {
		case test.ok && (serverErr != nil || clientErr != nil):
			t.Errorf("%s: server: %v, client: %v", test.name, serverErr, clientErr)
		case test.ok:
			s.works(t, test.name)
		case clientErr == nil:
			t.Errorf("%s: the client took the upstream for the right one", test.name)
		}
	}
}

func TestClientOffersOnlyHTTP11(t *testing.T) {
	root := newRoot(t, "root")
	dir := newFolder(t)
	dir.writeRoots(root)
	client := newClient(t, dir.roots(), "", false)
	s := connect(t, offering(upstream(root.leaf(t)), "h2", "http/1.1"), client.Config(serverName))
	if got := s.client.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("agreed on %q, want http/1.1", got)
	}
	if _, serverErr, _ := handshake(t, only(upstream(root.leaf(t)), tls.VersionTLS11), client.Config(serverName)); serverErr == nil {
		t.Error("TLS 1.1 was agreed on")
	}
}

func TestClientShowsCertificate(t *testing.T) {
	root, clients := newRoot(t, "root"), newRoot(t, "clients")
	me := clients.intermediate(t, "department").leaf(t)
	dir := newFolder(t)
	dir.writePair(me)
	dir.writeRoots(root)
	client := newClient(t, dir.all(), "", false)
	for version, number := range versions {
		s := connect(t, only(demanding(root.leaf(t), clients), number), client.Config(serverName))
		if !s.server.ConnectionState().PeerCertificates[0].Equal(me.cert) {
			t.Errorf("%s: the upstream was shown another certificate", version)
		}
	}
	without := newClient(t, dir.roots(), "", false)
	if _, serverErr, _ := handshake(t, demanding(root.leaf(t), clients), without.Config(serverName)); serverErr == nil {
		t.Error("a client without a certificate was let in")
	}
}

// An upstream that does not accept the certificate shall complain of it, not
// of its absence.
func TestClientShowsCertificateOfOtherCA(t *testing.T) {
	root := newRoot(t, "root")
	me := newRoot(t, "mine").leaf(t)
	dir := newFolder(t)
	dir.writePair(me)
	dir.writeRoots(root)
	server := demanding(root.leaf(t), root)
	server.ClientAuth = tls.RequireAnyClientCert // says what it accepts, but does not check
	s := connect(t, server, newClient(t, dir.all(), "", false).Config(serverName))
	if !s.server.ConnectionState().PeerCertificates[0].Equal(me.cert) {
		t.Error("the upstream was shown another certificate")
	}
}

func TestClientResumes(t *testing.T) {
	root := newRoot(t, "root")
	for version, number := range versions {
		t.Run(version, func(t *testing.T) {
			dir := newFolder(t)
			dir.writePair(root.leaf(t))
			dir.writeRoots(root)
			client := newClient(t, dir.all(), "", false)
			server := only(demanding(root.leaf(t), root), number)
			connect(t, server, client.Config(serverName)).resumed(t, false, "there was none before")
			connect(t, server, client.Config(serverName)).resumed(t, true, "the ticket is fresh")

			again := root.leaf(t)
			dir.writePair(again)
			reloads(t, &client.keeper)
			s := connect(t, server, client.Config(serverName))
			s.resumed(t, false, "who resumes goes on as who it was")
			if !s.server.ConnectionState().PeerCertificates[0].Equal(again.cert) {
				t.Error("the upstream was not shown the new certificate")
			}
		})
	}
}

func TestClientReloadsRoots(t *testing.T) {
	before, after := newRoot(t, "before"), newRoot(t, "after")
	old, young := upstream(before.leaf(t)), upstream(after.leaf(t))
	dir := newFolder(t)
	dir.writeRoots(before)
	client := newClient(t, dir.roots(), "", false)
	live := connect(t, old, client.Config(serverName))

	dir.writeRoots(after)
	reloads(t, &client.keeper)
	live.works(t, "a session from before the reload goes on")
	connect(t, young, client.Config(serverName)).works(t, "the new root")
	if _, _, clientErr := handshake(t, old, client.Config(serverName)); clientErr == nil {
		t.Error("a root that has gone is still trusted")
	}
}

func TestClientKeepsConfigs(t *testing.T) {
	client := newClient(t, Files{}, "", false)
	a, b := client.Config("a.example"), client.Config("b.example")
	if a == b || a.ServerName != "a.example" || b.ServerName != "b.example" {
		t.Errorf("two hosts have configurations for %q and %q", a.ServerName, b.ServerName)
	}
	if client.Config("a.example") != a {
		t.Error("a host asked for twice has two configurations")
	}
	if changed, err := client.Reload(); changed || err != nil {
		t.Errorf("Reload() without files = %t, %v, want false, nil", changed, err)
	}
	one := newClient(t, Files{}, "set.example", false)
	if one.Config("a.example") != one.Config("b.example") {
		t.Error("hosts of one server name have different configurations")
	}
}

func TestClientRefusesFiles(t *testing.T) {
	dir := newFolder(t)
	dir.write("tls.key", newRoot(t, "root").keyPEM(t))
	_, err := NewClient(dir.pair(), "", false)
	if err == nil || !strings.HasPrefix(err.Error(), "CERT_FILE=") {
		t.Errorf("NewClient without the certificate's file: %v, want an error that names it", err)
	}
}
