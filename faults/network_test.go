//go:build faults

package faults

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Addresses are the same in every network, since no two networks meet.
const (
	clientAddress   = "10.77.1.2"
	proxyAddress    = "10.77.2.2" // towards the client
	farProxyAddress = "10.77.3.2" // towards the upstream
	upstreamAddress = "10.77.4.2"
)

// A network is a row of namespaces with nothing else in reach.
type network struct {
	client, proxy, upstream *namespace
	near, far               *link
}

// A link is a router between a peer and the proxy.
type link struct {
	*namespace
	peer, proxy string // the addresses of both
}

// A namespace is one host.
type namespace struct {
	t      *testing.T
	holder *exec.Cmd // lives as long as the namespace
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{client: newNamespace(t), proxy: newNamespace(t), upstream: newNamespace(t)}
	n.near = &link{newNamespace(t), clientAddress, proxyAddress}
	n.far = &link{newNamespace(t), upstreamAddress, farProxyAddress}
	for _, l := range []struct {
		link         *link
		host, subnet string
		peer         *namespace
	}{
		{n.near, "near", "10.77.1", n.client},
		{n.far, "far", "10.77.4", n.upstream},
	} {
		proxySubnet := l.link.proxy[:strings.LastIndex(l.link.proxy, ".")]
		l.link.ip(
			"link set lo up",
			"link add peer type veth peer name router netns "+l.peer.pid(),
			"link add proxy type veth peer name "+l.host+" netns "+n.proxy.pid(),
			"addr add "+l.subnet+".1/24 dev peer",
			"addr add "+proxySubnet+".1/24 dev proxy",
			"link set peer up", "link set proxy up",
		)
		l.link.writes("/proc/sys/net/ipv4/ip_forward", "1")
		l.peer.ip("link set lo up", "addr add "+l.link.peer+"/24 dev router", "link set router up", "route add default via "+l.subnet+".1")
		n.proxy.ip("link set lo up", "addr add "+l.link.proxy+"/24 dev "+l.host, "link set "+l.host+" up",
			"route add "+l.subnet+".0/24 via "+proxySubnet+".1")
	}
	return n
}

// leg is the link of a side, and the namespace at its end.
func (n *network) leg(side string) (*link, *namespace) {
	if side == "client" {
		return n.near, n.client
	}
	return n.far, n.upstream
}

// isSilent makes the router lose all that it is given, both ways, and tell nobody.
func (l *link) isSilent() {
	l.t.Helper()
	l.ip("route add blackhole "+l.peer+"/32", "route add blackhole "+l.proxy+"/32")
}

// loses makes the router lose all that it is given for one address, and tell nobody.
func (l *link) loses(address string) {
	l.t.Helper()
	l.ip("route add blackhole " + address + "/32")
}

func (l *link) heals() {
	l.t.Helper()
	l.ip("route del blackhole "+l.peer+"/32", "route del blackhole "+l.proxy+"/32")
}

// isSlow lets the peer have so many bytes a second. The router's queue holds a second
// of them.
func (l *link) isSlow(rate int) {
	l.t.Helper()
	l.runs("", "tc", "qdisc", "add", "dev", "peer", "root", "tbf",
		"rate", fmt.Sprint(8*rate), "burst", "16kb", "limit", fmt.Sprint(rate))
}

func (l *link) isFast() {
	l.t.Helper()
	l.runs("", "tc", "qdisc", "del", "dev", "peer", "root")
}

// newNamespace starts a process that does nothing in a namespace of its own. It
// ends when its input does, and the namespace with it.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	holder := exec.Command("cat")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	input, err := holder.StdinPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() {
		input.Close()
		holder.Wait()
	})
	return &namespace{t, holder}
}

func (n *namespace) pid() string { return strconv.Itoa(n.holder.Process.Pid) }

// command is a program inside the namespace, which takes nsenter's place.
func (n *namespace) command(name string, arguments ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", n.pid(), "--net", "--", name}, arguments...)...)
}

func (n *namespace) runs(input, name string, arguments ...string) {
	n.t.Helper()
	command := n.command(name, arguments...)
	command.Stdin = strings.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		n.t.Fatalf("%s %q: %v\n%s%s", name, arguments, err, input, output)
	}
}

// ip runs commands of ip's.
func (n *namespace) ip(lines ...string) {
	n.t.Helper()
	n.runs(strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
}

// writes sets a parameter of the namespace's kernel.
func (n *namespace) writes(path, value string) {
	n.t.Helper()
	n.runs(value, "tee", path)
}

// dial connects from inside the namespace. A socket belongs to the namespace of
// the thread that makes it.
func (n *namespace) dial(ctx context.Context, nw, address string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	inside, err := os.Open("/proc/" + n.pid() + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, os.NewSyscallError("setns", err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, nw, address)
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // the thread must not go on in another's namespace
	}
	return conn, err
}
