package command

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/shown"
)

// healthTimeout bounds the whole question: a container runtime's own limit is
// often not much longer.
const healthTimeout = 3 * time.Second

// healthcheck needs one variable and minds no other: whether the rest is right
// is for the proxy that runs to know.
func healthcheck(p process, args []string) int {
	if code, ok := p.parseNone("healthcheck", args); !ok {
		return code
	}
	if err := askReadiness(p.environ); err != nil {
		fmt.Fprintln(p.stderr, "holdfast:", err)
		return exitFailed
	}
	return exitOK
}

func askReadiness(environ []string) error {
	address, err := config.AdminAddress(environ)
	if err != nil {
		return err
	}
	// Not the default transport: that would ask a proxy named by the environment.
	client := http.Client{Transport: &http.Transport{}, Timeout: healthTimeout}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", shown.Printable(answer.Status))
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10))
	return err
}
