// Package notify tells the service manager, such as systemd, what this process does. The
// protocol is that of sd_notify(3): the environment names a socket, and each datagram to
// it holds assignments such as READY=1, one a line.
//
// The path through it: New reads the environment, and Send sends one datagram. The
// functions and constants beside it are the assignments. Watchdog says how often the
// manager wants a sign of life. This package decides nothing about what is sent when.
package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Assignments that a service sends.
const (
	Ready    = "READY=1"    // it has started, or it has read its configuration again
	Stopping = "STOPPING=1" // it has begun to end
	Beat     = "WATCHDOG=1" // it is alive
)

// Status returns the assignment of a text for people: one line that says what the service
// does.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Reloading returns the assignments that say that the service begins to read its
// configuration again. Ready must follow. The manager wants the time of the monotonic
// clock, so that it can tell which of its own requests this answers.
func Reloading() string {
	var now unix.Timespec
	// It fails only for a clock that the kernel does not know.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// A Manager is the service manager that started this process. Its methods may be called
// from any goroutine.
type Manager struct {
	address  string // of its socket; a path, or a name with @ before it; "" if there is no manager
	watchdog time.Duration
	patience time.Duration // how long Send waits for a manager that does not read

	mu     sync.Mutex
	conn   *net.UnixConn // nil before the first Send, and after one that failed
	closed bool
}

// New returns the manager that environ names. environ is the environment of process pid.
// Without a manager, Send does nothing.
func New(environ []string, pid int) *Manager {
	said := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		said[name] = value
	}
	m := &Manager{address: said["NOTIFY_SOCKET"], patience: patience}
	// sd_watchdog_enabled(3): without WATCHDOG_PID the request is for any process.
	if whose := said["WATCHDOG_PID"]; whose == "" || whose == strconv.Itoa(pid) {
		if micros, err := strconv.ParseInt(said["WATCHDOG_USEC"], 10, 64); err == nil && micros > 0 && micros <= int64(longest/time.Microsecond) {
			m.watchdog = time.Duration(micros) * time.Microsecond
		}
	}
	return m
}

// longest is the longest time.Duration.
const longest = time.Duration(1<<63 - 1)

// Present reports whether there is a manager. A nil Manager means that there is none.
func (m *Manager) Present() bool { return m != nil && m.address != "" }

// Watchdog returns how long the manager waits for a Beat before it kills the process. It
// is 0 if the manager does not wait for beats.
func (m *Manager) Watchdog() time.Duration {
	if !m.Present() {
		return 0
	}
	return m.watchdog
}

// patience is a Manager's.
const patience = time.Second

// Send sends assignments in one datagram.
func (m *Manager) Send(assignments ...string) error {
	if !m.Present() {
		return nil
	}
	message := []byte(strings.Join(assignments, "\n"))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	known := m.conn != nil
	err := m.send(message)
	if err != nil && known && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = m.send(message) // the manager may have made its socket anew
	}
	return err
}

// send sends one datagram, and forgets the connection if that fails. The connection is
// kept otherwise, so that a beat needs no descriptor when there are none left.
func (m *Manager) send(message []byte) error {
	if m.conn == nil {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: m.address})
		if err != nil {
			return err
		}
		m.conn = conn
	}
	err := m.conn.SetWriteDeadline(time.Now().Add(m.patience))
	if err == nil {
		_, err = m.conn.Write(message)
	}
	if err != nil {
		m.forget()
	}
	return err
}

// Close closes the connection to the manager. Send does nothing afterwards.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.forget()
}

// forget closes the connection, if there is one. A datagram is sent when Write returns, so
// an error of Close changes nothing.
func (m *Manager) forget() {
	if m.conn != nil {
		_ = m.conn.Close()
		m.conn = nil
	}
}
