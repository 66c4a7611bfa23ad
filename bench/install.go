package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// debianPackages are the peers that Debian packages of the same name contain.
var debianPackages = []string{"nginx", "haproxy", "caddy"}

// installMissing installs the packages of the wanted peers that are missing. It does so
// on Debian as root only. Elsewhere it does nothing: when a peer's program is not found,
// the error says what to install.
func installMissing(ctx context.Context, wanted []target) error {
	var missing []string
	for _, t := range wanted {
		if _, err := lookProgram(t.name); err != nil && slices.Contains(debianPackages, t.name) {
			missing = append(missing, t.name)
		}
	}
	if _, err := os.Stat("/etc/debian_version"); len(missing) == 0 || err != nil || os.Geteuid() != 0 {
		return nil
	}
	progress("installing %s (-install=false to go without)", strings.Join(missing, ", "))
	release, err := forbidServices()
	if err != nil {
		return err
	}
	defer release()
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	return apt(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, missing...)...)
}

// forbidServices prevents that a package starts its service when it is installed. It uses
// the mechanism of Debian's policy, policy-rc.d, until release is called. If the machine
// has a policy-rc.d already, forbidServices does nothing.
func forbidServices() (release func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if os.IsExist(err) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_, err = file.WriteString("#!/bin/sh\nexit 101\n")
	return func() { _ = os.Remove(policy) }, err
}

func apt(ctx context.Context, arguments ...string) error {
	command := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet"}, arguments...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", arguments[0], err, output)
	}
	return nil
}
