package backend

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"holdfast/heartbeat"
	"holdfast/proxy/internal/socket"
)

var (
	first  = socket.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:80")}
	second = socket.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.2:80")}
	third  = socket.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.3:80")}
)

func TestOrderOfAddresses(t *testing.T) {
	const now = heartbeat.Time(time.Hour)
	all := []socket.Endpoint{first, second, third}
	tests := []struct {
		why    string
		before func(*failures)
		at     heartbeat.Time
		want   []socket.Endpoint
	}{
		{"nothing is known", func(*failures) {}, now, all},
		{"the failed one is tried last", func(f *failures) { f.failed(first, now) }, now, []socket.Endpoint{second, third, first}},
		{"those that failed keep their order", func(f *failures) { f.failed(second, now); f.failed(first, now) }, now, []socket.Endpoint{third, first, second}},
		{"all have failed", func(f *failures) { f.failed(third, now); f.failed(second, now); f.failed(first, now) }, now, all},
		{"it is still remembered", func(f *failures) { f.failed(first, now) }, now.Add(lastFor - 1), []socket.Endpoint{second, third, first}},
		{"its time is over", func(f *failures) { f.failed(first, now) }, now.Add(lastFor), all},
		{"it has failed again", func(f *failures) { f.failed(first, now); f.failed(first, now.Add(time.Second)) }, now.Add(lastFor), []socket.Endpoint{second, third, first}},
		{"it has worked since", func(f *failures) { f.failed(first, now); f.worked(first) }, now, all},
		{"the name has lost and regained it", func(f *failures) { f.failed(first, now); f.keep(all[1:]) }, now, all},
		{"the name has kept it", func(f *failures) { f.failed(first, now); f.keep(all[:2]) }, now, []socket.Endpoint{second, third, first}},
	}
	for _, test := range tests {
		var f failures
		test.before(&f)
		if got := f.order(all, test.at); !slices.Equal(got, test.want) {
			t.Errorf("%s: the order is %v, want %v", test.why, got, test.want)
		}
	}
	if !slices.Equal(all, []socket.Endpoint{first, second, third}) {
		t.Errorf("the backend's own list has become %v", all)
	}
}

// When the time of a dead address is over, one dial tries it, and the others do
// not pay for that.
func TestOneDialTriesADeadAddress(t *testing.T) {
	const now = heartbeat.Time(time.Hour)
	var f failures
	f.failed(first, now)
	later := now.Add(lastFor)
	all := []socket.Endpoint{first, second}
	if got := f.order(all, later); got[0] != first {
		t.Errorf("the first dial tries %v, want the one that has failed", got)
	}
	if got := f.order(all, later); got[0] != second {
		t.Errorf("another dial tries %v, want the one that works", got)
	}
	f.worked(first)
	if got := f.order(all, later); got[0] != first {
		t.Errorf("when it works again a dial tries %v", got)
	}
}
