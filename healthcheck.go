package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

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
	if err := askReadiness(readSettings(p.environ)); err != nil {
		fmt.Fprintln(p.stderr, "holdfast:", err)
		return exitFailed
	}
	return exitOK
}

func askReadiness(s settings) error {
	address, err := s.adminAddress()
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

// adminAddress is where the admin listener can be reached from here.
func (s settings) adminAddress() (string, error) {
	const name = "HOLDFAST_ADMIN_LISTEN"
	value, _ := s.effective(variableNamed(name))
	listen, err := parseAdminListen(value)
	switch {
	case err != nil:
		return "", problems{{name, value, err.Error()}}
	case listen == "":
		return "", errors.New(name + " is off: there is nobody to ask")
	}
	host, port, err := net.SplitHostPort(string(listen))
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(reachable(host), port), nil
}

// reachable is the host to dial for one that is listened on: a wildcard is no destination.
func reachable(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return "127.0.0.1"
	case err != nil || !ip.IsUnspecified():
		return host
	case ip.Is4():
		return "127.0.0.1"
	}
	return "::1"
}
