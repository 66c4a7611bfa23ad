package demo

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"holdfast/internal/admin"
	"holdfast/internal/status"
)

// preferredStatus is the address of the status page if that port is free.
const preferredStatus = "127.0.0.1:8081"

// drainCode is what clients of a drained upstream are sent: service restart, of RFC 6455
// 7.4.2's registry.
const drainCode = 1012

// serveStatus runs the admin listener, with the status page, until ctx ends.
func (s *stage) serveStatus(ctx context.Context, preferred string) error {
	listener, err := net.Listen("tcp", preferred)
	if err != nil {
		listener, err = net.Listen("tcp", anyPort)
	}
	if err != nil {
		return fmt.Errorf("the status page: %w", err)
	}
	server := admin.NewServer(admin.Config{
		Proxy:     s.proxy,
		Book:      s.book,
		Drain:     func() { s.fail(errors.New("the admin listener was asked to drain")) },
		Metrics:   s.metrics.Handler(),
		DrainCode: drainCode,
		LimitedBy: "the demo",
		ErrorLog:  log.New(journalWriter{s.journal}, "", 0),
	})
	s.running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("the status page: %w", err))
		}
	})
	s.running.Go(func() {
		defer server.Close()
		ticks := time.NewTicker(status.SampleEvery)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticks.C:
				s.book.Sample(now)
			}
		}
	})
	s.statusPage = "http://" + listener.Addr().String() + "/"
	return nil
}
