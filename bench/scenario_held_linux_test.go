package main

import (
	"net/netip"
	"testing"
	"time"
)

// startTestBackend serves in a goroutine, which is over when the test is.
func startTestBackend(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{idle: make(map[*service]struct{})}
	address, err := l.listen(anyPort, func() endpoint { return &service{backend: b} })
	if err != nil {
		t.Fatal(err)
	}
	stop, served := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				served <- nil
				return
			default:
			}
			if err := l.turn(time.Millisecond); err != nil {
				served <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		if err := <-served; err != nil {
			t.Errorf("backend: %v", err)
		}
	})
	return address
}

// TestHeldConnectionsOpen has the connections whose memory is measured go to the
// backend itself.
func TestHeldConnectionsOpen(t *testing.T) {
	const n = 3
	for _, h := range []holding{heldPages, heldHandshakes, heldLargest, heldBlocked} {
		t.Run(h.key, func(t *testing.T) {
			l, err := newLoop()
			if err != nil {
				t.Fatal(err)
			}
			address := startTestBackend(t)
			c := &client{loop: l, proxy: address, backend: address}
			if err := h.open(c, n); err != nil {
				t.Fatal(err)
			}
			open := 0
			for _, conn := range l.conns {
				if conn == nil {
					continue
				}
				open++
				if blocked := conn.deaf && len(conn.out) > 0; h.key == heldBlocked.key && !blocked {
					t.Error("a session is not blocked: it reads, or all that it sent was taken")
				}
			}
			if open != n {
				t.Errorf("%d connections are open, want %d", open, n)
			}
		})
	}
}
