package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// staysInTheFilter runs the command line of the unit under strace, from its start over a
// session and a scrape to its end. SystemCallFilter of the unit must allow each system call,
// and RestrictAddressFamilies each socket.
func (m machine) staysInTheFilter() error {
	allowed, err := m.allowed()
	if err != nil {
		return err
	}
	const trace = "/tmp/holdfast.trace"
	if err := os.WriteFile(m.root+trace, nil, 0o666); err != nil {
		return err
	}
	if err := os.Chmod(m.root+trace, 0o666); err != nil {
		return err
	}
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(upstream, http.HandlerFunc(echoesBack)) }() // until the listener closes
	defer upstream.Close()
	host := fmt.Sprintf("127.79.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	// The kernel is asked for the zone of a link-local address, here of one that leads nowhere.
	cmd, err := m.service("HOLDFAST_UPSTREAM=ws://"+upstream.Addr().String()+",ws://[fe80::1%25lo]:9", "HOLDFAST_LISTEN="+host+":8080", "HOLDFAST_ADMIN_LISTEN="+host+":8081",
		"HOLDFAST_PING_INTERVAL=100ms", "PATH=/usr/bin:/bin")
	if err != nil {
		return err
	}
	// -D: the process is Holdfast itself, and gets the signals.
	cmd.Args = append([]string{cmd.Args[0], "strace", "-D", "-f", "-qq", "-o", trace}, cmd.Args[1:]...)
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(log)
	if lines.Scan(); !strings.Contains(lines.Text(), "holdfast starts") {
		err = fmt.Errorf("under strace it says %q", lines.Text())
	} else {
		err = talks(host)
	}
	err = errors.Join(err, cmd.Process.Signal(syscall.SIGHUP), cmd.Process.Signal(syscall.SIGTERM))
	for lines.Scan() {
	}
	if ended := cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("under strace it ends with %w", ended))
	}
	traced, readErr := os.ReadFile(m.root + trace)
	if err = errors.Join(err, readErr); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, call := range regexp.MustCompile(`(?m)^\d+ +([a-z_0-9]+)\(`).FindAllStringSubmatch(string(traced), -1) {
		seen[call[1]] = true
	}
	// strace itself starts the program.
	for _, call := range []string{"epoll_pwait", "accept4", "execve"} {
		if !seen[call] {
			err = errors.Join(err, fmt.Errorf("strace has not seen %s", call))
		}
	}
	for call := range seen {
		if !slices.Contains(allowed, call) {
			err = errors.Join(err, fmt.Errorf("SystemCallFilter does not allow %s", call))
		}
	}
	return errors.Join(err, m.allowsFamilies(string(traced)))
}

// allowsFamilies wants the unit to allow the family of each socket that was traced.
func (m machine) allowsFamilies(traced string) (err error) {
	allowed, err := m.setting("holdfast.service", "RestrictAddressFamilies")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, socket := range regexp.MustCompile(`socket\((AF_[A-Z0-9]+),`).FindAllStringSubmatch(traced, -1) {
		seen[socket[1]] = true
	}
	for _, family := range []string{"AF_INET", "AF_NETLINK"} {
		if !seen[family] {
			err = errors.Join(err, fmt.Errorf("strace has not seen a socket of %s", family))
		}
	}
	for family := range seen {
		if !slices.Contains(strings.Fields(allowed[0]), family) {
			err = errors.Join(err, fmt.Errorf("RestrictAddressFamilies does not allow %s", family))
		}
	}
	return err
}

// talks opens a session with the proxy, waits for two pings, and reads the metrics.
func talks(host string) error {
	conn, _, _, err := ws.Dial(context.Background(), "ws://"+host+":8080/")
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 2 {
		frame, err := ws.ReadFrame(io.LimitReader(conn, 1<<10)) //lint:ignore SA1019 the reader is bounded
		if err != nil || frame.Header.OpCode != ws.OpPing {
			return fmt.Errorf("in place of a ping comes %+v, %w", frame.Header, err)
		}
		if err := wsutil.WriteClientMessage(conn, ws.OpPong, frame.Payload); err != nil {
			return err
		}
	}
	answer, err := http.Get("http://" + host + ":8081/metrics")
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// allowed returns the system calls that the unit may make. The settings count in their
// order. A name with ~ before it takes away.
func (m machine) allowed() (calls []string, err error) {
	out, err := m.command("systemd-analyze", "--no-pager", "syscall-filter").Output()
	if err != nil {
		return nil, err
	}
	groups := map[string][]string{}
	group := ""
	for line := range strings.Lines(string(out)) {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			group = name
		case name != "" && !strings.HasPrefix(name, "#"):
			groups[group] = append(groups[group], name)
		}
	}
	var members func(name string) []string
	members = func(name string) (all []string) {
		if !strings.HasPrefix(name, "@") {
			return []string{name}
		}
		for _, member := range groups[name] {
			all = append(all, members(member)...)
		}
		return all
	}
	filters, err := m.setting("holdfast.service", "SystemCallFilter")
	if err != nil {
		return nil, err
	}
	for _, filter := range filters {
		names, takesAway := strings.CutPrefix(filter, "~")
		for name := range strings.FieldsSeq(names) {
			if !takesAway {
				calls = append(calls, members(name)...)
				continue
			}
			less := members(name)
			calls = slices.DeleteFunc(calls, func(call string) bool { return slices.Contains(less, call) })
		}
	}
	return calls, nil
}
