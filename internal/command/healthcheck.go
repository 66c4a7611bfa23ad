package command

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/shown"
)

// healthTimeout bounds the whole check. The limit of a container runtime is often not
// much longer.
const healthTimeout = 3 * time.Second

// healthcheck asks the proxy that runs whether it is ready. It looks at one variable:
// whether the others are right is known to that proxy.
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
