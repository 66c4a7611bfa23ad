package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/shown"
)

// healthTimeout limits the whole check. The limit of a container runtime is often not
// much longer.
const healthTimeout = 3 * time.Second

// maxReadiness is more than an answer with hundreds of upstreams has.
const maxReadiness = 1 << 20

// healthcheck asks the running proxy whether it is ready. It reads only
// HOLDFAST_ADMIN_LISTEN: the running proxy has checked the other variables.
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
	// The default transport would use the HTTP proxy that the environment names.
	client := http.Client{Transport: &http.Transport{}, Timeout: healthTimeout}
	defer client.CloseIdleConnections()
	asked := url.URL{Scheme: "http", Host: address, Path: "/readyz"} // the zone of an address is escaped there
	answer, err := client.Get(asked.String())
	if err != nil {
		return unanswered(address, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxReadiness))
	switch {
	case err != nil:
		return unanswered(address, err)
	case answer.StatusCode != http.StatusOK:
		return unready(address, answer.Status, body)
	}
	return nil
}

// unanswered returns an error that says that nothing answered at address, and what to do
// about it.
func unanswered(address string, err error) error {
	var op *url.Error
	if errors.As(err, &op) {
		if op.Timeout() {
			return fmt.Errorf("no answer within %v at HOLDFAST_ADMIN_LISTEN=%s; is it Holdfast that listens there?", healthTimeout, address)
		}
		err = op.Err // without the URL, which the message does not need
	}
	return fmt.Errorf("no Holdfast answers at HOLDFAST_ADMIN_LISTEN=%s (%w); is it running, and with the same HOLDFAST_ADMIN_LISTEN?", address, err)
}

// unready returns an error that says why the proxy takes no new clients. status and body
// are the proxy's answer.
func unready(address, status string, body []byte) error {
	var why struct {
		Draining   *bool    `json:"draining"`
		UpstreamUp *bool    `json:"upstream_up"`
		Upstreams  []target `json:"upstreams"`
	}
	err := json.Unmarshal(body, &why)
	switch {
	case err != nil || why.Draining == nil || why.UpstreamUp == nil:
		return fmt.Errorf("not ready: HTTP status %s; is it Holdfast that listens at HOLDFAST_ADMIN_LISTEN=%s?", shown.Printable(status), address)
	case *why.Draining:
		return errors.New("not ready: it is draining and takes no new clients")
	case !*why.UpstreamUp:
		return fmt.Errorf("not ready: %s; %s", shown.Escaped(unusable(why.Upstreams)), remedy(why.Upstreams))
	}
	return fmt.Errorf("not ready: HTTP status %s", shown.Printable(status))
}

// A target is one address of an upstream, as the proxy lists it. The address is empty if the
// upstream's name leads to none.
type target struct {
	Upstream string `json:"upstream"`
	Address  string `json:"address"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
}

// remedy says what to do about upstreams if none of them gets sessions. A try of an upstream
// that an operator has taken out of use would not say why.
func remedy(all []target) string {
	has := func(state string) bool {
		return slices.ContainsFunc(all, func(t target) bool { return t.State == state })
	}
	if has("draining") && !has("down") {
		return "an operator can bring one back: POST /api/upstreams/{name}/resume"
	}
	return "`holdfast check -connect` says more"
}

// unusable says in one line why no upstream gets sessions.
func unusable(all []target) string {
	if len(all) == 0 {
		return "the upstream is down"
	}
	var each []string
	for _, t := range all {
		text := t.Upstream
		if t.Address != "" && !strings.HasSuffix(t.Upstream, t.Address) {
			text += " at " + t.Address
		}
		text += " is " + t.State
		if t.Reason != "" {
			text += " (" + t.Reason + ")"
		}
		each = append(each, text)
	}
	return "no upstream can get sessions: " + strings.Join(each, ", ")
}
