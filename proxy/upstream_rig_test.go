package proxy_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/fixture"
	"holdfast/internal/wire"
	"holdfast/proxy"
)

// Pages and sessions reach the upstream in one way. These tests let both ask for
// it where it does not answer, or this host lacks something.

// endless is a time for a dial that no test waits for.
const endless = 100 * patience

// A holding is what this process has. Other tests must not run meanwhile.
type holding struct{ files, goroutines int }

// wantsBack waits until no more is held than after the first round, whose clients
// have left as all others do.
func (r *rig) wantsBack(round int, before *holding) {
	r.t.Helper()
	r.wantsNoSessions()
	if round == 0 {
		*before = r.held()
		return
	}
	r.eventually("all is given back", func() bool {
		now := r.held()
		return now.files <= before.files && now.goroutines <= before.goroutines
	})
}

func (r *rig) held() holding {
	r.t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		r.t.Fatal(err)
	}
	return holding{len(files), runtime.NumGoroutine()}
}

// A client that leaves takes its dial along, however long that would have gone on:
// nothing is held for those who are gone.
func TestDialsEndWithTheirClients(t *testing.T) {
	for name, ask := range map[string]string{"pages": page, "sessions": wire.Request()} {
		t.Run(name, func(t *testing.T) {
			full := fixture.Deaf(t).String()
			r := newRig(t, func(cfg *proxy.Config) {
				cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: full}
				cfg.DialTimeout = endless
			})
			var before holding
			for round := range 3 {
				var clients []*peer
				for range 50 {
					client := r.dials()
					client.sendsString(ask)
					clients = append(clients, client)
				}
				r.eventually("all are being dialled for", func() bool {
					return r.server.PlacesToDial() == proxy.DialsAtOnce-len(clients)
				})
				for _, client := range clients {
					client.tcp().Close()
				}
				r.eventually("no dial is under way", func() bool { return r.server.PlacesToDial() == proxy.DialsAtOnce })
				r.wantsBack(round, &before)
			}
		})
	}
}

// While no answer comes from DNS one lookup is under way, however many come and
// leave. Those who have left cost nothing.
func TestSilentNameServer(t *testing.T) {
	const clients = 50
	var lookups atomic.Int64
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: "service.example:80"}
		cfg.DialTimeout = endless
		cfg.FindBy(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			lookups.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	var before holding
	for round := range 3 {
		var all []*peer
		for range clients {
			for _, ask := range []string{page, wire.Request()} {
				client := r.dials()
				client.sendsString(ask)
				all = append(all, client)
			}
		}
		r.eventually("all are there", func() bool { return r.server.Clients() == len(all) })
		// Each page has the goroutines of net/http's connection. What is asked here
		// is that none looks the name up: that would be two or three more for each.
		if n := runtime.NumGoroutine(); round > 0 && n > before.goroutines+3*clients {
			t.Errorf("%d pages hold %d goroutines", clients, n-before.goroutines)
		}
		for _, client := range all {
			client.tcp().Close()
		}
		r.eventually("nobody waits any more", func() bool { return r.server.Clients() == 0 })
		r.wantsBack(round, &before)
	}
	if n := lookups.Load(); n != 1 {
		t.Errorf("%d lookups were made, want one for all", n)
	}
}

// Pages and sessions both reach an upstream by its name.
func TestNameIsLookedUp(t *testing.T) {
	t.Parallel()
	for name, asks := range map[string]func(*rig){
		"page":    func(r *rig) { r.getsPage(r.dials()) },
		"session": func(r *rig) { r.opens() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asks(newRig(t, func(cfg *proxy.Config) {
				cfg.Upstreams[0].URL.Host = "service.example:" + cfg.Upstreams[0].URL.Port()
				cfg.FindBy(func(context.Context, string) ([]netip.Addr, error) {
					return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
				})
			}))
		})
	}
}

// A name that is not found in time is the upstream's failure, for a page and for
// a session.
func TestNameIsNotFoundInTime(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]string{"page": page, "session": wire.Request()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) {
				cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: "service.example:80"}
				cfg.DialTimeout = moment
				cfg.FindBy(func(ctx context.Context, _ string) ([]netip.Addr, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
			})
			client := r.dials()
			client.sendsString(ask)
			client.wantsStatus("its name is not found", http.StatusGatewayTimeout)
			client.tcp().Close()
			if r.server.UpstreamUp() {
				t.Error("the upstream is up, and has no address")
			}
		})
	}
}

// Whether the upstream works is known before the first client comes, and without one.
func TestUpstreamIsCheckedWithoutClients(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.HealthInterval = time.Millisecond
		cfg.Upstreams[0].URL.Host = "service.example:" + cfg.Upstreams[0].URL.Port()
		cfg.FindBy(func(context.Context, string) ([]netip.Addr, error) {
			<-answer
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		})
	})
	service := http.Server{ErrorLog: log.New(io.Discard, "", 0), TLSConfig: serverTLS()}
	defer service.Close()
	if r.tls.upstream {
		go service.ServeTLS(r.service, "", "")
	}
	if r.server.UpstreamUp() {
		t.Error("the upstream is up though it was not found yet")
	}
	close(answer)
	r.eventually("a check has found it", r.server.UpstreamUp)
	r.service.Close()
	r.eventually("a check has missed it", func() bool { return !r.server.UpstreamUp() })
	r.eventually("the log says so", func() bool { return strings.Contains(r.log.String(), "upstream is down") })
}

// Pages wait for their turn with the handshakes, as long as those, and are told
// the same.
func TestPagesWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]string{"page": page, "session": wire.Request()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *proxy.Config) { cfg.HandshakeTimeout = 10 * moment })
			r.server.LeaveNoPlace()
			client := r.dials()
			client.sendsString(ask)
			answer := client.wantsStatus("as many as may be are dialled for", http.StatusServiceUnavailable)
			if answer.Header.Get("Retry-After") == "" {
				t.Error("the refusal does not say when to come again")
			}
			r.wantsNoDial("there was no place")
			if !r.server.UpstreamUp() {
				t.Error("the upstream is down though nobody has tried it")
			}
		})
	}
}

// A page takes a place in the queue only while it dials.
func TestPlaceOfAPageIsGivenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client, upstream, _ := r.asksUpstream(page)
	r.eventually("the page has dialled", func() bool { return r.server.PlacesToDial() == proxy.DialsAtOnce })
	upstream.sendsString(wire.Head("HTTP/1.1 204 No Content"))
	client.wantsStatus("the page", http.StatusNoContent)
}

// A unix socket whose queue is full says so at once, and connect does not wait for
// room; so the dial does.
func TestDialWaitsForAFullUnixSocket(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]string{"page": page, "session": wire.Request()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			service, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			defer service.Close()
			inQueue := fillQueue(t, service, path)
			r := newRig(t, func(cfg *proxy.Config) { cfg.Upstreams[0].URL = &url.URL{Scheme: "unix", Path: path} })
			client := r.dials()
			client.sendsString(ask)
			r.eventually("a dial is under way", func() bool { return r.server.PlacesToDial() < proxy.DialsAtOnce })
			for range inQueue {
				conn, err := service.Accept()
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			conn, err := service.AcceptUnix()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			upstream := newPeer(t, "upstream", conn)
			upstream.wantsRequest()
			upstream.sendsString(wire.Head("HTTP/1.1 204 No Content"))
			client.wantsStatus("there was room at last", http.StatusNoContent)
		})
	}
}

// fillQueue connects to a unix socket until it takes no more, and says how often.
func fillQueue(t *testing.T, service *net.UnixListener, path string) (connected int) {
	t.Helper()
	raw, err := service.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 1) }) // a shorter queue; it may be any
	if err != nil {
		t.Fatal(err)
	}
	for {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		switch err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err {
		case nil:
			connected++
		case syscall.EAGAIN:
			return connected
		default:
			t.Fatal(err)
		}
	}
}

// A connection to a peer with a wrong certificate does not count as one. Pages and
// sessions both find that out, and the upstream is down until the certificate is right.
func TestReadinessNeedsTheRightCertificate(t *testing.T) {
	t.Parallel()
	var trusts atomic.Bool
	r := newRig(t, func(cfg *proxy.Config) {
		secureUpstream(cfg)
		cfg.Upstreams[0].TLS = func() *tls.Config {
			if trusts.Load() {
				return clientTLS()
			}
			return &tls.Config{ServerName: "127.0.0.1"}
		}
	})
	service := http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		TLSConfig: serverTLS(),
		ErrorLog:  log.New(io.Discard, "", 0), // it sees no reason to distrust itself
	}
	defer service.Close()
	go service.ServeTLS(r.service, "", "")
	for i := range 6 {
		client := r.dials()
		client.sendsString([]string{page, wire.Request()}[i%2])
		client.wantsStatus("nobody vouches for the upstream", http.StatusBadGateway)
		if r.server.UpstreamUp() != (i < 2) {
			t.Errorf("after %d attempts the upstream is up: %v", i+1, r.server.UpstreamUp())
		}
		client.tcp().Close()
	}
	trusts.Store(true)
	client := r.dials()
	client.sendsString(page)
	client.wantsStatus("its certificate is right now", http.StatusNoContent)
	if !r.server.UpstreamUp() {
		t.Error("the upstream is down though a page came from it")
	}
	client.tcp().Close()
}

// The last descriptor is taken here, which says nothing of the upstream.
func TestNoDescriptorForADial(t *testing.T) {
	for name, begins := range map[string]func(*rig) (*peer, string){
		"page": func(r *rig) (*peer, string) {
			client := r.dials()
			client.sendsString(page) // so that net/http has the connection
			upstream := r.accepts()
			upstream.wantsRequest()
			upstream.sendsString(wire.Head("HTTP/1.1 204 No Content"))
			client.wantsStatus("a descriptor is there", http.StatusNoContent)
			return client, page
		},
		"session": func(r *rig) (*peer, string) {
			if r.tls.client {
				r.t.Skip("the client's TLS handshake has need of a descriptor too")
			}
			client := r.dials()
			client.sendsString(wire.Request()[:10])
			r.eventually("the client is accepted", func() bool { return r.metric("received_bytes_total{client}") > 0 })
			return client, wire.Request()[10:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			client, asks := begins(r)
			allow := forbidFiles(t)
			client.sendsString(asks)
			answer := client.wantsStatus("no descriptor is left", http.StatusServiceUnavailable)
			allow()
			if answer.Header.Get("Retry-After") == "" {
				t.Error("the refusal does not say when to come again")
			}
			if !r.server.UpstreamUp() {
				t.Error("the upstream is down though it was never asked")
			}
		})
	}
}

// forbidFiles lets this process open no more descriptors until allow is called.
// No other test may run meanwhile.
func forbidFiles(t *testing.T) (allow func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	free, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	lowest := free.Fd()
	free.Close()
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	set(syscall.Rlimit{Cur: uint64(lowest), Max: was.Max})
	allow = func() { set(was) }
	t.Cleanup(allow)
	return allow
}

func TestUpstreamCannotBeDialled(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.service.Close()
	client := r.dials()
	client.sendsString(wire.Request())
	client.wantsRefusal("the dial was refused", 502)
	client.hangsUp()
	r.wantsNoSessions()
	r.wantsCounts(counts{"upstream_unreachable": 1})
}

// A full accept queue makes the kernel drop SYNs, as an upstream does that is
// behind a firewall.
func TestDialTimesOut(t *testing.T) {
	t.Parallel()
	full := fixture.Deaf(t).String()
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: full}
		cfg.DialTimeout = 200 * time.Millisecond
	})
	client := r.dials()
	client.sendsString(wire.Request())
	client.wantsRefusal("the dial timed out", 504)
	client.hangsUp()
	r.wantsNoSessions()
	r.wantsCounts(counts{"timeout": 1})
}

func TestClientGoneWhileDialling(t *testing.T) {
	t.Parallel()
	full := fixture.Deaf(t).String()
	r := newRig(t, func(cfg *proxy.Config) { cfg.Upstreams[0].URL = &url.URL{Scheme: "ws", Host: full} })
	client := r.dials()
	client.sendsString(wire.Request())
	client.wantsNothing("the dial is under way")
	client.resets()
	r.wantsNoSessions()
	r.wantsCounts(counts{"client_gone": 1})
}
