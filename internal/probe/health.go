package probe

import (
	"fmt"
	"time"

	"holdfast/proxy"
)

// Get asks the upstream for t.Path on a connection of its own, as the checks of the proxy do,
// and returns the status of the answer. The answer must come within limit. Every error is a
// *Failure.
func Get(t Target, limit time.Duration) (status int, err error) {
	conn, err := t.dial()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer t.waits(Health, limit)()
	failed := func(err error) (int, error) { return 0, &Failure{Step: Health, Err: err} }
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return failed(err)
	}
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n", t.Path, t.Host)
	if t.Header.Count("User-Agent") == 0 {
		head = append(head, "User-Agent: holdfast\r\n"...)
	}
	if _, err := conn.Write(append(t.Header.Append(head), "Connection: close\r\n\r\n"...)); err != nil {
		return failed(err)
	}
	answer, err := proxy.ReadUpstreamAnswer(conn, "", t.MaxHeaderSize)
	if answer == nil {
		return failed(err)
	}
	return answer.Status, nil // the fault of a 101 is its status
}
