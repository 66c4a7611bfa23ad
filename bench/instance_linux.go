package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 15 * time.Second // for a proxy to serve its first session
	taskLimit  = 4 * time.Minute  // for the load process
	stopLimit  = 2 * time.Second  // for the end of a killed proxy's workers
)

// A process is a child with its own process group. It is killed when this process ends.
type process struct {
	command *exec.Cmd
	exited  chan struct{}
}

func startProcess(command *exec.Cmd) (*process, error) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command, exited: make(chan struct{})}
	go p.wait()
	return p, nil
}

// wait reaps the process. It ignores how the process ended: most are killed, and the others
// report their errors in their logs.
func (p *process) wait() {
	_ = p.command.Wait()
	close(p.exited)
}

// stop kills the whole group, because a graceful end would take longer. It waits for the
// end of the group. Otherwise the next measurement would include the closing of thousands
// of sockets.
func (p *process) stop() {
	group := -p.command.Process.Pid
	_ = syscall.Kill(group, syscall.SIGKILL) // it may have ended by itself
	<-p.exited
	// Workers are not our children. Without a process that reaps orphans they stay zombies.
	for deadline := time.Now().Add(stopLimit); syscall.Kill(group, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// An instance is a running target with its own backend. So connections that linger after
// one measurement do not disturb the next.
type instance struct {
	backend        *process
	proxy          *process // nil if there is none
	backendAddress netip.AddrPort
	listen         netip.AddrPort
	certificate    *certificate // of the proxy; nil if clients connect without TLS
	metrics        string
}

func (in *instance) stop() {
	if in.proxy != nil {
		in.proxy.stop()
	}
	in.backend.stop()
}

// root returns the process ID of the proxy's main process, or 0 if there is no proxy.
func (in *instance) root() int {
	if in.proxy == nil {
		return 0
	}
	return in.proxy.command.Process.Pid
}

// start starts a target and waits until it serves sessions. Clients connect with TLS if
// there is a certificate.
func (b *bench) start(ctx context.Context, t candidate, certificate *certificate) (*instance, error) {
	backend, address, err := startBackend(b.programs.self)
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	in := &instance{backend: backend, backendAddress: address, listen: address, certificate: certificate}
	if t.command == nil {
		return in, nil
	}
	if err := b.startProxy(ctx, t, in); err != nil {
		in.stop()
		return nil, err
	}
	return in, nil
}

// startBackend starts a backend and returns its address, which the backend prints.
func startBackend(self string) (*process, netip.AddrPort, error) {
	command := exec.Command(self, commandBackend)
	command.Stderr = os.Stderr
	output, input, err := os.Pipe()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	defer output.Close()
	command.Stdout = input
	backend, err := startProcess(command)
	input.Close()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err == nil {
		var address netip.AddrPort
		if address, err = netip.ParseAddrPort(strings.TrimSpace(line)); err == nil {
			return backend, address, nil
		}
	}
	backend.stop()
	return nil, netip.AddrPort{}, err
}

func (b *bench) startProxy(ctx context.Context, t candidate, in *instance) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, t.name+"-")
	if err != nil {
		return err
	}
	s := setting{
		Dir:         dir,
		Listen:      ports[0].String(),
		Admin:       ports[1].String(),
		Upstream:    in.backendAddress.String(),
		TLS:         in.certificate,
		Sessions:    b.params.Sessions + spareSessions/2,
		Connections: 2*b.params.Sessions + spareSessions,
		OpenFiles:   b.openFiles,
	}
	command, err := t.command(t.path, s)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	if in.proxy, err = startProcess(command); err != nil {
		return err
	}
	in.listen = ports[0]
	if t.role == own {
		in.metrics = "http://" + s.Admin + "/metrics"
	}
	if err := awaitUpgrade(ctx, in); err != nil {
		return fmt.Errorf("%w; its log ends: %s", err, tail(log.Name()))
	}
	return nil
}

// awaitUpgrade tries to open a session until that succeeds.
func awaitUpgrade(ctx context.Context, in *instance) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	dial, err := in.dialer()
	if err != nil {
		return err
	}
	for {
		err := tryUpgrade(ctx, in.listen, dial)
		if err == nil {
			return nil
		}
		select {
		case <-in.proxy.exited:
			return errors.New("it ended instead of serving")
		case <-ctx.Done():
			return fmt.Errorf("it did not serve in time: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A dialContext connects to an address of a network, like the method of net.Dialer.
type dialContext func(ctx context.Context, network, address string) (net.Conn, error)

// dialer returns a function that connects like the instance's clients, with TLS or without.
func (in *instance) dialer() (dialContext, error) {
	if in.certificate == nil {
		return new(net.Dialer).DialContext, nil
	}
	config, err := loadTLS(in.certificate.pem)
	return (&tls.Dialer{Config: config}).DialContext, err
}

func tryUpgrade(ctx context.Context, to netip.AddrPort, dial dialContext) error {
	conn, err := dial(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(upgradeRequest(to.String(), pathEcho)); err != nil {
		return err
	}
	var head []byte
	for buffer := make([]byte, 4096); ; {
		n, err := conn.Read(buffer)
		head = append(head, buffer[:n]...)
		if answer, _, ok := cutHead(head); ok {
			return checkUpgraded(answer)
		}
		if err != nil {
			return err
		}
	}
}

// tail returns the end of a log, for an error message.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(content[max(0, len(content)-500):]))
}

// freePorts returns n free ports on loopback. They are below the range from which the
// kernel takes the ports of outgoing connections, since there are many of those. They are
// random, so that a proxy does not get the lingering connections of the previous one.
func freePorts(n int) ([]netip.AddrPort, error) {
	const first, last, attempts = 20000, 32000, 1000
	var free []netip.AddrPort
	for range attempts {
		if len(free) == n {
			return free, nil
		}
		port := uint16(first + rand.IntN(last-first))
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		listener, err := net.Listen("tcp", address.String())
		if err != nil {
			continue
		}
		listener.Close()
		free = append(free, address)
	}
	return nil, errors.New("no free port")
}

// load runs the load process against an instance.
func (b *bench) load(ctx context.Context, s scenario, in *instance) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, taskLimit)
	defer cancel()
	t := task{
		Scenario: s.name,
		Proxy:    in.listen,
		Backend:  in.backendAddress,
		Metrics:  in.metrics,
		Root:     in.root(),
		Params:   b.params,
	}
	if in.certificate != nil {
		t.Certificate = in.certificate.pem
	}
	input, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.programs.self, commandLoad)
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("load: %w", errors.Join(err, ctx.Err()))
	}
	return parseOutcome(bytes.NewReader(output))
}

func parseOutcome(r io.Reader) (map[string]float64, error) {
	var result outcome
	if err := json.NewDecoder(r).Decode(&result); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if result.Error != "" {
		return nil, errors.New(result.Error)
	}
	return result.Values, nil
}
