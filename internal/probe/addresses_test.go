package probe

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// What is not a name has one address, and is not looked up.
func TestAddressesOfALiteral(t *testing.T) {
	for address, network := range map[string]string{
		"192.0.2.1:80":      "tcp",
		"[::1]:80":          "tcp",
		"[fe80::1%eth0]:80": "tcp",
		"/run/a.sock":       "unix",
	} {
		got, err := Target{Network: network, Address: address}.Addresses()
		if err != nil || !slices.Equal(got, []string{address}) {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
}

func TestAddressesOfAName(t *testing.T) {
	got, err := Target{Network: "tcp", Address: "localhost:80", DialTimeout: time.Minute}.Addresses()
	if err != nil || !slices.Contains(got, "127.0.0.1:80") {
		t.Errorf("localhost: %v, %v", got, err)
	}
}

// A resolver may return an address twice, and one of IPv4 in the form of IPv6.
func TestAddressesAreTriedOnce(t *testing.T) {
	var found []netip.Addr
	for _, addr := range []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "192.0.2.1"} {
		found = append(found, netip.MustParseAddr(addr))
	}
	if got, want := joined(found, "80"), []string{"192.0.2.1:80", "[2001:db8::1]:80"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
