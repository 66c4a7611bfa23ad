//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"holdfast/internal/wire"
)

// What clients ask of the service with a message: to stop answering pings, or to send
// without end.
var (
	beSilent = wire.Text("be silent")
	flood    = wire.Text("flood")
)

// refuseMe is a field of a handshake that the service refuses.
const refuseMe = "X-Refuse-Me: yes"

// moodyService answers pings until it is told otherwise.
func moodyService(t *testing.T) (url string) {
	t.Helper()
	return upstreamDoing(t, func(conn net.Conn) {
		p := &rawPeer{name: "the service", conn: conn, in: bufio.NewReaderSize(conn, 512)}
		request, err := http.ReadRequest(p.in)
		switch {
		case err != nil: // a check of whether the service is there
		case request.Header.Get("X-Refuse-Me") != "":
			_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		default:
			if _, err := io.WriteString(conn, wire.Answer(request)); err == nil {
				p.obeys()
			}
		}
	})
}

func (p *rawPeer) obeys() {
	silent := false
	for {
		f, err := wire.Read(p.in, !p.masks)
		switch {
		case err != nil:
			return
		case f == beSilent:
			silent = true
		case f == flood:
			chunk := wire.Binary(strings.Repeat("flood", 10_000))
			for p.writes(chunk) == nil {
			}
			return
		case f.Op == ws.OpPing && !silent:
			_ = p.writes(wire.Pong(f.Payload)) // if it fails, so does the next read
		case f.Op == ws.OpClose:
			_ = p.writes(wire.Close(f.Code(), ""))
			return
		}
	}
}

// knocks asks for sessions again and again until ctx is done, and leaves each at once.
func knocks(ctx context.Context, address string, fields ...string) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			if conn, err := net.Dial("tcp", address); err == nil {
				_, _ = io.WriteString(conn, wire.Request(fields...))
				_, _ = http.ReadResponse(bufio.NewReader(conn), nil) // whatever it says
				conn.Close()
			}
		}
	}
}

// A scene has three proxies and a Prometheus that watches them.
type scene struct {
	t       *testing.T
	p       *prometheus
	service string // the URL of a moodyService

	busy *holdfast // it is filled, stopped and killed
	lost *holdfast // its certificate ends soon, and its service is not there
	slow *holdfast // its clients do not read, and its service has moods
}

// calmly are the settings of the proxies that have sessions: nobody has to answer pings in
// time, clients that do not read stay, and a drain takes its time.
var calmly = []string{
	"HOLDFAST_LOG_LEVEL=info", "HOLDFAST_PING_INTERVAL=4s", "HOLDFAST_PING_JITTER=1", "HOLDFAST_WRITE_TIMEOUT=5m",
	"HOLDFAST_PING_TIMEOUT=0s", "HOLDFAST_DRAIN_SPREAD=24h",
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, service: moodyService(t)}
	s.busy = s.startBusy()
	ends := newAuthority(t).issuesUntil(time.Now().Add(48*time.Hour), "127.0.0.1")
	s.lost = startHoldfast(t, upstreamAbsent(t), "HOLDFAST_TLS_CERT_FILE="+ends.certFile, "HOLDFAST_TLS_KEY_FILE="+ends.keyFile)
	s.slow = startHoldfast(t, s.service, append([]string{"HOLDFAST_UPSTREAM_PING_TIMEOUT=2s"}, calmly...)...)
	s.p = startPrometheus(t, s.busy, s.lost, s.slow)
	s.p.wants("sum(up) == 3")
	return s
}

// startBusy runs a proxy with few descriptors, so that sessions can take more than nine of
// ten of them. One of its upstreams is not there.
func (s *scene) startBusy(settings ...string) *holdfast {
	s.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `ulimit -n 3000; exec "$0"`, binary)
	cmd.Env = environment(s.service+","+upstreamAbsent(s.t), append(settings, calmly...)...)
	h := launch(s.t, cmd)
	h.hasStarted()
	return h
}

// slows opens sessions whose clients do not read, and others for which the service stops
// answering pings. One session is well.
func (s *scene) slows() {
	s.t.Helper()
	for range 12 {
		opensRaw(s.t, "a client that does not read", s.slow).sends(s.t, flood)
	}
	for range 5 {
		opensRaw(s.t, "a client of a silent session", s.slow).sends(s.t, beSilent)
	}
	well := opensRaw(s.t, "a client that is well", s.slow)
	go well.staysUntilTold()
}

// fills opens as many sessions as the busy proxy may hold, after a while with few.
func (s *scene) fills() (clients []*rawPeer) {
	s.t.Helper()
	clients = crowd(s.t, s.busy.address(), 3)
	s.p.wants(fmt.Sprintf(`rate(holdfast_handshakes_total{%s,result="ok"}[1m] offset 10s)`, of(s.busy)))
	limit := int(s.busy.Metric("holdfast_sessions_limit"))
	clients = append(clients, crowd(s.t, s.busy.address(), limit-len(clients))...)
	for _, client := range clients {
		s.t.Cleanup(func() { client.conn.Close() })
		go client.staysUntilTold() // it answers pings
	}
	return clients
}

// stops makes the busy proxy stop for more than a second, again and again, until its pings
// are late for long enough. It stops just after a scrape, and goes on when that scrape is
// older than the time of the query.
func (s *scene) stops() {
	s.t.Helper()
	for !s.p.hasFired("PingsLate", of(s.busy)) {
		s.busy.Freezes()
		s.p.wants(fmt.Sprintf("absent_over_time(holdfast_sessions_active{%s}[1500ms])", of(s.busy)))
		s.busy.Thaws()
		s.p.wants(fmt.Sprintf("up{%s} == 1", of(s.busy)))
	}
}

// restarts kills the busy proxy and starts it where it was.
func (s *scene) restarts() {
	s.t.Helper()
	s.busy.IsKilled()
	s.busy = s.startBusy("HOLDFAST_LISTEN="+s.busy.address(), "HOLDFAST_ADMIN_LISTEN="+s.busy.scraped())
}

// Each alert whose time is short fires when its fault is played, and each panel of the
// dashboard shows something of it.
func TestAlertsAndDashboard(t *testing.T) {
	needsProxy(t)
	t.Parallel()
	began := time.Now()
	s := newScene(t)
	knocking, rests := context.WithCancel(t.Context())
	defer rests()

	s.slows()
	go knocks(knocking, s.slow.address(), refuseMe)
	clients := s.fills()
	go knocks(knocking, s.busy.address()) // there is no room
	s.p.wantsAlert("ReconnectStorm", of(s.busy))
	s.p.wantsAlert("NearLimit", of(s.busy, `severity="critical"`))
	s.p.wantsAlert("NearLimit", of(s.busy, `severity="warning"`))
	s.p.wantsAlert("HandshakesFail", of(s.busy, `severity="critical"`))
	s.p.wantsAlert("HandshakesFail", of(s.slow, `refused_by="service"`))
	s.p.wantsAlert("DescriptorsNear", of(s.busy))
	s.p.wantsAlert("RoundTripNearDeadline", of(s.busy, `side="client"`))
	s.p.wantsAlert("UpstreamSilent", of(s.slow))
	s.p.wantsAlert("UpstreamDown", of(s.busy, `severity="warning"`))
	s.p.wantsAlert("UpstreamDown", of(s.lost, `severity="critical"`))
	s.p.wantsAlert("CertificateEnds", of(s.lost, `severity="critical"`))
	s.p.wantsAlert("SlowReceivers", of(s.slow, `side="upstream"`))
	rests()

	for _, client := range clients[:len(clients)/2] {
		client.sends(t, wire.Close(1000, ""))
	}
	s.lost.IsKilled()
	s.slow.Signal(syscall.SIGTERM) // its drain takes 24 hours
	s.p.wantsAlert("MassDisconnect", of(s.busy))
	s.stops()
	s.p.wantsAlert("ShortLived", of(s.busy))
	s.p.wantsAlert("DrainStuck", of(s.slow))
	s.p.wantsAlert("Absent", of(s.lost))
	s.restarts()
	s.p.wantsAlert("Restarted", of(s.busy))

	s.p.shows(shippedPanels(t), began)
}
