package command

import (
	"bytes"
	"net"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/fixture"
)

// deserted returns an address of 127.0.0.1 where nothing listens.
func deserted(t *testing.T) string {
	t.Helper()
	listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
	listener.Close()
	return listener.Addr().String()
}

// hangsUp is a service that listens, and ends each connection at once.
func hangsUp(t *testing.T) string {
	t.Helper()
	listener := fixture.Listen(t, "tcp", "127.0.0.1:0")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// Each upstream of a list is tried, and has a line. One that fails makes the check fail.
func TestCheckConnectToSeveral(t *testing.T) {
	one, other := service(t, answers(t)), service(t, answers(t))
	const ok = `: upgraded in \S+s, answered a ping in \S+s\n`
	for _, tc := range []struct {
		name, upstreams string
		code            int
		stdout, stderr  string
	}{
		{"all answer", "ws://" + one + ",ws://" + other, exitOK, `^configuration ok\nws://` + one + ok + `ws://` + other + ok + `$`, `^$`},
		{"the first is dead", "ws://" + hangsUp(t) + ",ws://" + one, exitFailed, `^configuration ok\nws://` + one + ok + `$`,
			`^ws://\S+: closed the connection without an answer to the upgrade \(.*\); if it speaks TLS, write wss:// in HOLDFAST_UPSTREAM\n$`},
		{"the last is dead", "ws://" + one + ",ws://" + deserted(t), exitFailed, `^configuration ok\nws://` + one + ok + `$`,
			`^ws://\S+: cannot connect: dial tcp .* connection refused; start the service, or correct HOLDFAST_UPSTREAM\n$`},
		{"all are dead", "ws://" + deserted(t) + ",ws://" + hangsUp(t), exitFailed, `^configuration ok\n$`,
			`^ws://\S+: cannot connect: .*\nws://\S+: closed the connection .*\n$`},
		{"without TLS, and with it", "ws://" + one + ",wss://" + other, exitFailed, `^configuration ok\nws://` + one + ok + `$`,
			`^wss://\S+: it does not speak TLS \(.*\); write ws:// in HOLDFAST_UPSTREAM, or correct the port\n$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			holdfast([]string{"HOLDFAST_UPSTREAM=" + tc.upstreams}, "check", "-connect").
				matches(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}

// A name is looked up, and the line has the address that was tried.
func TestCheckConnectToAName(t *testing.T) {
	_, port, _ := net.SplitHostPort(service(t, answers(t)))
	holdfast([]string{"HOLDFAST_UPSTREAM=ws://localhost:" + port}, "check", "-connect").
		matches(t, exitOK, `(?m)^ws://localhost:`+port+` at 127\.0\.0\.1:`+port+`: upgraded in \S+s, answered a ping in \S+s$`, `^$`)
}

// Each address of a name is tried. An address of localhost may be deserted if another one
// answers.
func TestCheckConnectToEachAddress(t *testing.T) {
	alive, dead := service(t, answers(t)), deserted(t)
	const ok = `: upgraded in \S+s, answered a ping in \S+s\n`
	for _, tc := range []struct {
		upstream       string
		addresses      []string
		ok             bool
		stdout, stderr string
	}{
		{"ws://service.example", []string{alive, dead}, false, `^ws://service\.example at ` + alive + ok + `$`,
			`^ws://service\.example at ` + dead + `: cannot connect: .*; start the service, or correct HOLDFAST_UPSTREAM\n$`},
		{"ws://localhost", []string{dead, alive}, true,
			`^ws://localhost at ` + alive + ok + `ws://localhost at ` + dead + `: nothing listens there, but another address of localhost answers\n$`, `^$`},
		{"ws://localhost", []string{dead}, false, `^$`, `^ws://localhost at ` + dead + `: cannot connect: .*\n$`},
		{"ws://localhost", []string{hangsUp(t), alive}, false, `^ws://localhost at ` + alive + ok + `$`, `^ws://localhost at \S+: closed the connection .*\n$`},
	} {
		c, loaded, found := config.Load([]string{"HOLDFAST_UPSTREAM=" + tc.upstream})
		if len(found) > 0 {
			t.Fatal(found)
		}
		var stdout, stderr bytes.Buffer
		p := process{stdout: &stdout, stderr: &stderr}
		u := c.Upstreams[0]
		code := exitOK
		if !p.connectEach(c, u, targetOf(c, &loaded, u, request{path: "/"}), tc.addresses, "") {
			code = exitFailed
		}
		want := exitOK
		if !tc.ok {
			want = exitFailed
		}
		outcome{code, stdout.String(), stderr.String()}.matches(t, want, tc.stdout, tc.stderr)
	}
}
