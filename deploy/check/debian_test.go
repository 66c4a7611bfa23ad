package check

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The package is installed into a copy of this machine: an overlay, in which everything
// runs by chroot. The overlay lies in a mount namespace of its own. So this test runs
// itself again there, with insideVariable set to a folder on a tmpfs.
const insideVariable = "CHECK_INSIDE"

func TestDebianPackage(t *testing.T) {
	args := []string{"--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		t.Fatal("dpkg installs as root alone; run this as root")
	}
	cmd := exec.Command("unshare", append(args, os.Args[0])...)
	cmd.Env = append(os.Environ(), insideVariable+"="+onTmpfs(t), "DIST="+dist)
	fmt.Print(ran(t, cmd))
}

// machine is the copy.
type machine struct {
	root, upper string
}

// inside is the test in the namespace. It returns what is wrong.
func inside(folder, packages string) error {
	m := machine{root: filepath.Join(folder, "root"), upper: filepath.Join(folder, "upper")}
	if err := m.mount(folder, packages); err != nil {
		return err
	}
	if err := m.run("dpkg", "--path-include=/usr/share/*", "--force-confold", "--install", "/package.deb"); err != nil {
		return err
	}
	errs := []error{
		m.hasFiles(),
		m.run("systemd-analyze", "verify", "/usr/lib/systemd/system/holdfast.service", "/usr/lib/systemd/system/holdfast.socket"),
		m.run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", "/usr/lib/systemd/system/holdfast.service"), // in tenths
		m.run("man", "--warnings", "-E", "UTF-8", "-l", "/usr/share/man/man1/holdfast.1.gz"),
		m.completes(),
		m.serves(),
		m.staysInTheFilter(),
		m.isActivated(),
		m.isStartedAgain(),
		m.run("dpkg", "--purge", "holdfast"),
		m.isClean(),
	}
	return errors.Join(errs...)
}

func (m machine) mount(folder, packages string) error {
	for _, dir := range []string{m.root, m.upper, filepath.Join(folder, "work")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err := syscall.Mount("overlay", m.root, "overlay", 0, "lowerdir=/,upperdir="+m.upper+",workdir="+filepath.Join(folder, "work"))
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := syscall.Mount(dir, m.root+dir, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	if err := syscall.Mount("tmpfs", m.root+"/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("/run: %w", err)
	}
	found, err := filepath.Glob(packages + "/*.deb")
	if err != nil || len(found) != 1 {
		return fmt.Errorf("the packages are %q, %w", found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	return os.WriteFile(m.root+"/package.deb", b, 0o644)
}

// command returns a command that runs in the copy as root.
func (m machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/env", args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "MANPAGER=cat"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command in the copy. A warning counts as a failure.
func (m machine) run(args ...string) error {
	var errout strings.Builder
	cmd := m.command(args...)
	cmd.Stderr = &errout
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%q: %w\n%s%s", args, err, out, errout.String())
	}
	if args[0] != "dpkg" && errout.Len() > 0 {
		return fmt.Errorf("%q complains:\n%s", args, errout.String())
	}
	return nil
}

func (m machine) hasFiles() error {
	out, err := m.command("dpkg", "--listfiles", "holdfast").Output()
	if err != nil {
		return err
	}
	for _, name := range []string{
		"/usr/bin/holdfast", "/usr/lib/systemd/system/holdfast.service", "/usr/lib/systemd/system/holdfast.socket",
		"/etc/holdfast/holdfast.env", "/usr/share/man/man1/holdfast.1.gz", "/usr/share/bash-completion/completions/holdfast",
		"/usr/share/doc/holdfast/copyright",
		"/usr/share/doc/holdfast/docs/runbook.md", "/usr/share/doc/holdfast/docs/operating.md",
		"/usr/share/doc/holdfast/deploy/prometheus/holdfast.rules.yml", "/usr/share/doc/holdfast/deploy/grafana/holdfast.json",
	} {
		if !slices.Contains(strings.Split(string(out), "\n"), name) || !exists(m.root+name) {
			return fmt.Errorf("the package has no %s", name)
		}
	}
	version, err := m.command("holdfast", "version").Output()
	if err != nil || !strings.HasPrefix(string(version), "holdfast v1.2.3 ") {
		return fmt.Errorf("`holdfast version` prints %q, %w", version, err)
	}
	return nil
}

// completes asks bash what it offers.
func (m machine) completes() error {
	for line, want := range map[string]string{
		"holdfast ":              "serve demo check env healthcheck version help",
		"holdfast he":            "healthcheck help",
		"holdfast check -":       "-connect -origin -path",
		"holdfast env ":          "-format",
		"holdfast env -format ":  "table markdown dotenv json",
		"holdfast env -format j": "json",
		"holdfast help ch":       "check",
		"holdfast serve ":        "",
		"holdfast unknown ":      "",
	} {
		ask := `. /usr/share/bash-completion/completions/holdfast
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_holdfast
echo "${COMPREPLY[*]}"`
		out, err := m.command(append([]string{"bash", "-c", ask, "bash"}, strings.Split(line, " ")...)...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			return fmt.Errorf("%q: bash offers %q, %w; want %q", line, got, err, want)
		}
	}
	return nil
}

// setting returns the values of a setting in an installed unit.
func (m machine) setting(unit, name string) (values []string, err error) {
	b, err := os.ReadFile(m.root + "/usr/lib/systemd/system/" + unit)
	if err != nil {
		return nil, err
	}
	for _, found := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(string(b), -1) {
		values = append(values, found[1])
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s has no %s", unit, name)
	}
	return values, nil
}

// service returns the command line of the unit, with the file of its environment and more,
// as an unprivileged user and without a capability.
func (m machine) service(more ...string) (*exec.Cmd, error) {
	line, err := m.setting("holdfast.service", "ExecStart")
	if err != nil {
		return nil, err
	}
	name, err := m.setting("holdfast.service", "EnvironmentFile")
	if err != nil {
		return nil, err
	}
	settings, err := os.ReadFile(m.root + name[0])
	if err != nil {
		return nil, err
	}
	cmd := m.command(strings.Fields(line[0])...)
	cmd.Env = nil
	for line := range strings.Lines(string(settings)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	cmd.Env = append(cmd.Env, more...)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65531, Gid: 65531}
	return cmd, nil
}

// serves runs the command line of the unit as systemd does, and wants what it is told.
func (m machine) serves() error {
	cmd, err := m.service()
	if err != nil {
		return err
	}
	// The example sets nothing. So the exit code says that the configuration is bad, and
	// systemd does not start it again.
	if _ = cmd.Run(); cmd.ProcessState.ExitCode() != 78 {
		return fmt.Errorf("without HOLDFAST_UPSTREAM it ends with %d, want 78", cmd.ProcessState.ExitCode())
	}
	if not, err := m.setting("holdfast.service", "RestartPreventExitStatus"); err != nil || !slices.Contains(strings.Fields(not[0]), "78") {
		return fmt.Errorf("systemd starts it again after exit code 78: %q, %w", not, err)
	}
	host := fmt.Sprintf("127.77.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	settings, err := os.OpenFile(m.root+"/etc/holdfast/holdfast.env", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(settings, "HOLDFAST_UPSTREAM=ws://%s:9\nHOLDFAST_LISTEN=%[1]s:8080\nHOLDFAST_ADMIN_LISTEN=%[1]s:8081\nHOLDFAST_DRAIN_DELAY=0s\n", host)
	if err := errors.Join(err, settings.Close()); err != nil {
		return err
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: fmt.Sprintf("@holdfast-check-%d", os.Getpid())})
	if err != nil {
		return err
	}
	defer manager.Close()
	cmd, err = m.service("NOTIFY_SOCKET="+manager.LocalAddr().String(), "WATCHDOG_USEC=200000")
	if err != nil {
		return err
	}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return err
	}
	told := func(want string) error {
		b := make([]byte, 1024)
		for {
			if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				return err
			}
			n, err := manager.Read(b)
			switch got := string(b[:n]); {
			case err != nil:
				return fmt.Errorf("systemd is not told %s: %w\n%s", want, err, log.String())
			case strings.HasPrefix(got, want):
				return nil
			case got != "WATCHDOG=1":
				return fmt.Errorf("systemd is told %q, want %s", got, want)
			}
		}
	}
	err = errors.Join(
		told("READY=1\nSTATUS=sessions: 0"),
		told("WATCHDOG=1"),
		cmd.Process.Signal(syscall.SIGHUP),
		told("RELOADING=1\nMONOTONIC_USEC="),
		told("READY=1"),
		cmd.Process.Signal(syscall.SIGTERM),
		told("STOPPING=1"),
	)
	if ended := cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("it ends with %w\n%s", ended, log.String()))
	}
	return err
}

// isActivated lets systemd's own program pass a socket with the name that the unit has.
func (m machine) isActivated() error {
	name, err := m.setting("holdfast.socket", "FileDescriptorName")
	if err != nil {
		return err
	}
	host := fmt.Sprintf("127.78.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	cmd := m.command("systemd-socket-activate", "--listen="+host+":8080", "--fdname="+name[0],
		"-EHOLDFAST_LISTEN=systemd:"+name[0], "-EHOLDFAST_UPSTREAM=ws://"+host+":9", "-EHOLDFAST_ADMIN_LISTEN=off", "-EHOLDFAST_DRAIN_DELAY=0s",
		"/usr/bin/holdfast", "serve")
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}()
	b := make([]byte, 4<<10)
	said := ""
	for !strings.Contains(said, "Listening on") {
		n, err := log.Read(b)
		if said += string(b[:n]); err != nil {
			return fmt.Errorf("systemd-socket-activate: %w: %s", err, said)
		}
	}
	// It starts Holdfast at the first connection.
	conn, err := net.Dial("tcp", host+":8080")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil { // it has no Host
		return err
	}
	n, err := conn.Read(b)
	if !strings.HasPrefix(string(b[:n]), "HTTP/1.1 400 ") {
		return fmt.Errorf("by the socket of systemd comes %q, %w", b[:n], err)
	}
	return nil
}

// isStartedAgain wants a pause between starts that is long enough: systemd gives up after
// five starts within 10 s.
func (m machine) isStartedAgain() error {
	pause, err := m.setting("holdfast.service", "RestartSec")
	if err != nil {
		return err
	}
	if seconds, err := strconv.Atoi(pause[0]); err != nil || 5*seconds <= 10 {
		return fmt.Errorf("RestartSec=%s lets systemd give up, %w", pause[0], err)
	}
	return nil
}

// isClean returns which files are left in the copy that this machine does not have.
func (m machine) isClean() error {
	own := regexp.MustCompile(`^(package\.deb|run|dev|proc|sys|tmp|var/lib/dpkg|var/log|var/cache/man)(/|$)`)
	var left []string
	err := filepath.WalkDir(m.upper, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(m.upper, name)
		switch _, missing := os.Lstat("/" + rest); {
		case err != nil, rest == ".", own.MatchString(rest):
			return err
		case missing != nil, !entry.IsDir() && entry.Type() != fs.ModeCharDevice|fs.ModeDevice:
			left = append(left, rest)
		}
		return nil
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("after its removal these files are left or changed: %q", left)
	}
	return err
}
