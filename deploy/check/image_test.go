package check

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// onTmpfs returns a folder on a tmpfs that the test removes.
func onTmpfs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// The image has two files. Its binary has the bytes that tools/release makes elsewhere. It
// runs with no other file, as its user: it serves wss:// upstreams that the CAs of the image
// vouch for, and passes its own health check.
func TestImage(t *testing.T) {
	i, err := buildImage("../Dockerfile", "../..", onTmpfs(t), map[string]string{"VERSION": version})
	if err != nil {
		t.Fatal(err)
	}
	if base, want := i.bases[0], "golang:"+strings.TrimPrefix(goVersion(t), "go")+"-bookworm"; base != want {
		t.Errorf("the base is %s, and go.mod names %s", base, want)
	}
	if last := i.bases[len(i.bases)-1]; last != "scratch" {
		t.Errorf("the image stands on %s", last)
	}
	if got, want := filesOf(t, i.root), []string{"etc/ssl/certs/ca-certificates.crt", "holdfast"}; !slices.Equal(got, want) {
		t.Errorf("the image has %q, want %q", got, want)
	}
	if sum(t, filepath.Join(i.root, "holdfast")) != sum(t, binary()) {
		t.Error("two builds of the same source differ: that of the image, and that of tools/release here")
	}
	if i.labels["org.opencontainers.image.version"] != version || i.labels["org.opencontainers.image.title"] != "Holdfast" {
		t.Errorf("the labels are %q", i.labels)
	}
	if i.stopSignal != "SIGTERM" || !slices.Equal(i.exposed, []string{"8080", "8081"}) {
		t.Errorf("it is stopped by %s, and exposes %q", i.stopSignal, i.exposed)
	}
	i.serves(t)
}

// serves runs the image, lets a client talk to an upstream with TLS through it, asks for its
// health, and stops it.
func (i *image) serves(t *testing.T) {
	t.Helper()
	ca, upstream := echoesOverTLS(t)
	bundle := filepath.Join(i.root, "etc/ssl/certs/ca-certificates.crt")
	if err := os.WriteFile(bundle, ca, 0o644); err != nil {
		t.Fatal(err)
	}
	host := anyLoopback(t)
	environ := []string{
		"HOLDFAST_UPSTREAM=wss://" + upstream,
		"HOLDFAST_LISTEN=" + host + ":8080",
		"HOLDFAST_ADMIN_LISTEN=" + host + ":8081",
		"HOLDFAST_DRAIN_DELAY=0s",
	}
	healthy := func() error {
		out, err := i.command(t, i.healthcheck, environ).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if healthy() == nil {
		t.Error("it is healthy before it runs")
	}
	proxy := i.command(t, i.entrypoint, environ)
	log, err := proxy.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	var first struct {
		Msg, Version string
	}
	if lines.Scan(); json.Unmarshal(lines.Bytes(), &first) != nil || first.Msg != "holdfast starts" || first.Version != version {
		t.Errorf("its first line is %s", lines.Text())
	}
	echoes(t, "ws://"+host+":8080/")
	// A session was opened, so the upstream is up.
	if err := healthy(); err != nil {
		t.Error(err)
	}
	if err := proxy.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	var rest strings.Builder
	for lines.Scan() {
		fmt.Fprintln(&rest, lines.Text())
	}
	if err := proxy.Wait(); err != nil {
		t.Errorf("it ends with %v:\n%s", err, rest.String())
	}
}

// command returns a command of the image: it sees the files of the image alone, and runs as
// the user of the image. Without root the user is mapped to the one that runs the test.
func (i *image) command(t *testing.T, args, environ []string) *exec.Cmd {
	t.Helper()
	var uid, gid uint32
	if _, err := fmt.Sscanf(i.user, "%d:%d", &uid, &gid); err != nil || uid == 0 || gid == 0 {
		t.Fatalf("the user %q is not two numbers of a user other than root", i.user)
	}
	cmd := &exec.Cmd{Path: args[0], Args: args, Env: environ, Dir: "/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     i.root,
		Credential: &syscall.Credential{Uid: uid, Gid: gid},
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.Credential.NoSetGroups = true
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(uid), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(gid), HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// The echo service of compose.yaml is one static binary too.
func TestImageOfTheEchoService(t *testing.T) {
	i, err := buildImage("../compose/echo/Dockerfile", "../..", onTmpfs(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := filesOf(t, i.root), []string{"echo"}; !slices.Equal(got, want) {
		t.Errorf("the image has %q, want %q", got, want)
	}
	if base, want := i.bases[0], "golang:"+strings.TrimPrefix(goVersion(t), "go")+"-bookworm"; base != want {
		t.Errorf("the base is %s, and go.mod names %s", base, want)
	}
	// Its port is fixed, so it is run without a network: it listens, and waits for its end.
	cmd := i.command(t, i.entrypoint, nil)
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !listens(t, cmd.Process.Pid, 9000) {
		if err := syscall.Kill(cmd.Process.Pid, 0); err != nil {
			t.Fatal("the echo service has ended")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended by itself")
	}
}

// listens reports whether a socket listens on a port in the network of a process.
func listens(t *testing.T, pid, port int) bool {
	t.Helper()
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), fmt.Sprintf(":%04X 0", port)) {
			return true
		}
	}
	return false
}

// goVersion returns the version of Go that the go.mod of Holdfast names.
func goVersion(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			return "go" + strings.TrimSpace(v)
		}
	}
	t.Fatal("go.mod names no version of Go")
	return ""
}

func filesOf(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			rest, _ := filepath.Rel(root, name)
			names = append(names, rest)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func sum(t *testing.T, name string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// anyLoopback returns an address of this machine that nobody is likely to use.
func anyLoopback(t *testing.T) string {
	t.Helper()
	b := make([]byte, 3)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.%d.%d.%d", b[0], b[1], 1+b[2]%250)
}

// echoesOverTLS starts an echo service whose certificate a CA of the test has signed. It
// returns the CA and where the service listens.
func echoesOverTLS(t *testing.T) (ca []byte, address string) {
	t.Helper()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, rootDER := certificate(t, root, root, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafKey, leafDER := certificate(t, leaf, root, rootKey)
	server := httptest.NewUnstartedServer(http.HandlerFunc(echoesBack))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), server.Listener.Addr().String()
}

// echoesBack is an echo service for one client.
func echoesBack(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return // a check whether the service works
	}
	defer conn.Close()
	for {
		message, op, err := wsutil.ReadClientData(conn)
		if err != nil || wsutil.WriteServerMessage(conn, op, message) != nil {
			return
		}
	}
}

// certificate makes a certificate and its key. The parent signs it with parentKey, or with
// the new key if that is nil.
func certificate(t *testing.T, c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// echoes opens a session and wants its message back.
func echoes(t *testing.T, url string) {
	t.Helper()
	conn, _, _, err := ws.Dial(context.Background(), url)
	if err != nil {
		t.Errorf("no session with %s: %v", url, err)
		return
	}
	defer conn.Close()
	if err := wsutil.WriteClientText(conn, []byte("hello")); err != nil {
		t.Error(err)
	}
	if message, err := wsutil.ReadServerText(conn); err != nil || string(message) != "hello" {
		t.Errorf("the echo is %q, %v", message, err)
	}
	if err := wsutil.WriteClientMessage(conn, ws.OpClose, nil); err != nil {
		t.Error(err)
	}
}
