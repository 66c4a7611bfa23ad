//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A service is a recorder at an address of its own, where it can be started again.
type service struct {
	*peer
	address string // host:port
	url     string // ws://, which is its name in the metrics and in the log
	ledger  *ledger
}

// A ledger has all requests that the services of a test have read.
type ledger struct {
	services []*service

	mu      sync.Mutex
	readers map[string][]*service // of each request, by its name
}

// startServices starts services that share a ledger.
func startServices(t *testing.T, number int) ([]*service, *ledger) {
	t.Helper()
	addresses := make([]string, number)
	for i := range addresses {
		addresses[i] = ownHost()
	}
	return startServicesAt(t, addresses...)
}

// startServicesAt starts services at addresses, host:port.
func startServicesAt(t *testing.T, addresses ...string) ([]*service, *ledger) {
	t.Helper()
	l := &ledger{readers: map[string][]*service{}}
	for _, address := range addresses {
		s := &service{address: address, ledger: l}
		s.starts(t)
		l.services = append(l.services, s)
	}
	return l.services, l
}

// hosts counts the addresses that ownHost has returned.
var hosts atomic.Uint32

// ownHost returns an address of this host that nothing else uses. So its ports are not
// taken by others while the service is down: connections to 127.0.0.0/8 come from 127.0.0.1.
func ownHost() string {
	pid := os.Getpid()
	host := netip.AddrFrom4([4]byte{127, byte(1 + pid>>8&0x7f), byte(pid), byte(hosts.Add(1))})
	return net.JoinHostPort(host.String(), "0")
}

// starts runs the service, for the second time at the port of the first.
func (s *service) starts(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), recorderVariable+"="+s.address)
	s.peer = startPeerTakenFrom(t, "service "+s.address, cmd, s.records)
	host, _, _ := net.SplitHostPort(s.address)
	s.address = net.JoinHostPort(host, fmt.Sprint(s.wants("listening", "").Port))
	s.url = "ws://" + s.address
	s.Name = "service " + s.address
}

// records enters a request into the ledger.
func (s *service) records(e event) bool {
	if e.Event != "request" {
		return false
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.readers[e.ID] = append(s.ledger.readers[e.ID], s)
	return true
}

// upstreams is the list of the services for HOLDFAST_UPSTREAM.
func upstreams(services []*service) string {
	urls := make([]string, len(services))
	for i, s := range services {
		urls[i] = s.url
	}
	return strings.Join(urls, ",")
}

// asks tells the service what to do, and waits until that is done.
func (s *service) asks(do, done string) event {
	s.T.Helper()
	s.does(command{Do: do})
	return s.wants(done, "")
}

// counts returns how many sessions the service has open. All requests that it has read
// before are then in the ledger.
func (s *service) counts() int {
	s.T.Helper()
	return s.asks("count", "counted").Sessions
}

func (s *service) vanishes() { s.T.Helper(); s.asks("vanish", "vanished") }
func (s *service) returns()  { s.T.Helper(); s.asks("return", "returned") }

// dies is killed, and has its last requests in the ledger.
func (s *service) dies() {
	s.IsKilled()
	for range s.events {
	}
}

// retires ends in good order.
func (s *service) retires() {
	s.T.Helper()
	s.does(command{Do: "retire"})
	if code := s.WantsEnd(); code != 0 {
		s.T.Errorf("%s ended with exit code %d", s.Name, code)
	}
	for range s.events {
	}
}

// isWhole waits until the ledger has all that the services have read until now.
func (l *ledger) isWhole() {
	for _, s := range l.services {
		if !s.HasEnded() { // else its last requests are there
			s.counts()
		}
	}
}

// of returns the services that have read the request, one for each time.
func (l *ledger) of(id string) []*service {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.readers[id])
}

// reader returns the service that has read the request; nil if none has.
func (l *ledger) reader(id string) *service {
	if readers := l.of(id); len(readers) > 0 {
		return readers[0]
	}
	return nil
}

// requests returns how many requests the services have read.
func (l *ledger) requests(by ...*service) (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, readers := range l.readers {
		for _, reader := range readers {
			if slices.Contains(by, reader) {
				number++
			}
		}
	}
	return number
}

// wantsOnce wants no request to have been read twice.
func (l *ledger) wantsOnce(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	repeated := 0
	for id, readers := range l.readers {
		if len(readers) == 1 {
			continue
		}
		if repeated++; repeated == 1 {
			t.Errorf("request %s was read %d times, first by %s and last by %s",
				id, len(readers), readers[0].address, readers[len(readers)-1].address)
		}
	}
	if repeated > 0 {
		t.Fatalf("%d of %d requests were read more than once", repeated, len(l.readers))
	}
}
