package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// material is the contents of the files, parsed and checked.
type material struct {
	pair    *tls.Certificate    // nil if there is none
	chain   []*x509.Certificate // of pair, the leaf first
	roots   *x509.CertPool      // nil if there are none
	skipped []string            // warnings about roots that cannot be used
}

// parse parses c and adds every problem to found. The result is valid only if found is
// empty. read has added the problems of the files that could not be read.
func (f Files) parse(c contents, found *Problems) *material {
	m := new(material)
	if c.cert != "" {
		m.chain = f.Cert.parseChain(c.cert, found)
	}
	if c.key != "" {
		f.Key.checkKey(c.key, found)
	}
	if c.ca != "" {
		m.roots, m.skipped = f.CA.parseRoots(c.ca, found)
	}
	if len(*found) == 0 && c.cert != "" {
		m.pair = f.parsePair(c, found)
	}
	return m
}

// parsePair returns the certificate with its key. Both have been checked alone. If they do
// not fit, often only one of them has been replaced so far.
func (f Files) parsePair(c contents, found *Problems) *tls.Certificate {
	pair, err := tls.X509KeyPair([]byte(c.cert), []byte(c.key))
	if err != nil {
		found.add(f.Key, "does not work with the first certificate in %v: %v; use a certificate and its own key", f.Cert, err)
	}
	return &pair
}

// Kinds of PEM block.
const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

func (f File) parseChain(text string, found *Problems) (chain []*x509.Certificate) {
	for i, block := range f.blocks(text, certificateBlock, found) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			found.add(f, "has a certificate, number %d in the file, that cannot be used: %v; replace it", i+1, err)
			return nil
		}
		chain = append(chain, cert)
	}
	return chain
}

// checkKey checks that the first key, which is the one that crypto/tls uses, is not
// encrypted.
func (f File) checkKey(text string, found *Problems) {
	blocks := f.blocks(text, keyBlock, found)
	if len(blocks) > 0 && encrypted(blocks[0]) {
		found.add(f, "holds an encrypted key, and a passphrase cannot be entered; decrypt it with openssl pkey")
	}
}

// encrypted reports whether a key is encrypted, in either format: PKCS #8 (RFC 7468,
// section 11), or the older one with a header (RFC 1421, section 4.6.1.1).
func encrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}

// parseRoots skips certificates that cannot be used, as crypto/x509 does with the
// system's roots: a bundle of a hundred roots often has an invalid one. It is a problem
// if no certificate can be used.
func (f File) parseRoots(text string, found *Problems) (roots *x509.CertPool, skipped []string) {
	blocks := f.blocks(text, certificateBlock, found)
	roots = x509.NewCertPool()
	for i, block := range blocks {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("%v: certificate %d is left out: %v", f, i+1, err))
			continue
		}
		roots.AddCert(cert)
	}
	if len(blocks) > 0 && len(skipped) == len(blocks) {
		found.add(f, "holds no certificate that can be used; put the right CA certificate there")
	}
	return roots, skipped
}

// pemBegin opens every PEM block.
const pemBegin = "-----BEGIN "

// blocks returns the blocks of a kind. It is a problem if there are none. It is a problem
// too if pem.Decode skips a block without an error: the file may be half written.
func (f File) blocks(text, kind string, found *Problems) (wanted []*pem.Block) {
	count, other := 0, ""
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		count++
		if isKind(block, kind) {
			wanted = append(wanted, block)
		} else {
			other = block.Type
		}
	}
	switch {
	case count < strings.Count(text, pemBegin):
		found.add(f, "holds PEM that is broken or cut off; write the file again")
		return nil
	case count == 0:
		found.add(f, "is not a PEM file; convert it with openssl if it is DER or PKCS #12")
	case len(wanted) == 0:
		found.add(f, "holds no %s but %s; name the right file", kind, other)
	}
	return wanted
}

// isKind reports whether a block is of a kind. As in crypto/tls, the types of PKCS #8,
// PKCS #1 and SEC 1 are all private keys.
func isKind(block *pem.Block, kind string) bool {
	return block.Type == kind || kind == keyBlock && strings.HasSuffix(block.Type, " "+keyBlock)
}

// warnings returns what was loaded and does not work at now.
func (m *material) warnings(cert File, now time.Time) []string {
	var all []string
	for i, c := range m.chain {
		switch {
		case now.After(c.NotAfter):
			all = append(all, fmt.Sprintf("%v: certificate %d of %d expired at %s; peers will refuse it",
				cert, i+1, len(m.chain), c.NotAfter.Format(time.RFC3339)))
		case now.Before(c.NotBefore):
			all = append(all, fmt.Sprintf("%v: certificate %d of %d is not valid before %s; peers will refuse it",
				cert, i+1, len(m.chain), c.NotBefore.Format(time.RFC3339)))
		}
	}
	return append(all, m.skipped...)
}
