package proxy

import "testing"

// Whatever the limit, the parts are not more than the whole, and LimitFor is the reverse of
// Clients.
func TestDescriptorsAreShared(t *testing.T) {
	for loops := range int64(9) {
		for limit := int64(0); limit < 5000; limit++ {
			d := Descriptors{Limit: limit, Loops: loops}
			if used := 2*d.Clients() + d.Reserved(); used > limit && d.Clients() > 1 {
				t.Fatalf("%+v: %d are used", d, used)
			}
			if parts := d.Refused() + d.Admin() + ownFiles; parts+d.ofLoops() > d.Reserved() || d.Refused() < 2 || d.Admin() < 2 {
				t.Fatalf("%+v: of %d reserved, %d are for the lobby and %d for the admin side", d, d.Reserved(), d.Refused(), d.Admin())
			}
		}
		for clients := int64(2); clients < 3000; clients++ {
			enough := Descriptors{Loops: loops}.LimitFor(clients)
			less := Descriptors{Limit: enough - 1, Loops: loops}
			if (Descriptors{Limit: enough, Loops: loops}).Clients() < clients || less.Clients() >= clients {
				t.Fatalf("%d loops: %d is not the least limit for %d clients", loops, enough, clients)
			}
		}
	}
}

// The documentation says what small limits allow with two loops.
func TestClientsOfSmallLimits(t *testing.T) {
	for _, want := range []struct{ limit, clients, refused, admin int64 }{
		{64, 18, 2, 2},
		{128, 44, 8, 4},
		{256, 92, 24, 8},
		{1024, 380, 64, 32},
		{1 << 20, 524156, 64, 32},
	} {
		d := Descriptors{Limit: want.limit, Loops: 2}
		if d.Clients() != want.clients || d.Refused() != want.refused || d.Admin() != want.admin {
			t.Errorf("%d descriptors are enough for %d clients, %d that are refused and %d for the admin side; want %+v",
				want.limit, d.Clients(), d.Refused(), d.Admin(), want)
		}
	}
}
