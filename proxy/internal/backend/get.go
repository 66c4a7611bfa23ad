package backend

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"holdfast/proxy/internal/field"
)

// get asks for the path of the checks on a new connection. It returns an error unless the
// answer has a status of 2xx or 3xx.
func (t *Target) get(conn net.Conn) error {
	health := &t.backend.pool.cfg.Health
	within, cancel := context.WithTimeout(t.backend.pool.ended, t.within(health.AnswerTimeout))
	defer cancel()
	stop := context.AfterFunc(within, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // a deadline in the past ends the wait; it fails only on a closed connection
	})
	defer stop()
	status, err := exchange(conn, health, t.backend.upstream.HealthHost)
	switch {
	case t.backend.pool.ended.Err() != nil:
		return t.backend.pool.ended.Err()
	case within.Err() != nil:
		return fmt.Errorf("get %s: %w", health.Path, os.ErrDeadlineExceeded)
	case err != nil:
		return fmt.Errorf("get %s: %w", health.Path, err)
	case status < 200 || status >= 400:
		return fmt.Errorf("get %s: its status is %d", health.Path, status)
	}
	return nil
}

// exchange sends the request of a check and returns the status of the final answer. It
// does not read the answer's body.
func exchange(conn net.Conn, health *Health, host string) (status int, err error) {
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\n", health.Path)
	head = field.Append(head, "Host", host)
	if health.Header.Count("User-Agent") == 0 {
		head = field.Append(head, "User-Agent", "holdfast")
	}
	head = health.Header.Append(head)
	head = field.Append(head, "Connection", "close")
	if _, err := conn.Write(append(head, "\r\n"...)); err != nil {
		return 0, err
	}
	answer, _, err := ReadAnswer(conn, health.MaxHeaderSize)
	if err != nil {
		return 0, err
	}
	return answer.Status, nil
}
