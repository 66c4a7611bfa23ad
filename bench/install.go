package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// debianPackages are the peers that come from packages of the same name.
var debianPackages = []string{"nginx", "haproxy", "caddy"}

// installMissing installs the packages of wanted peers where that is possible
// without asking: on Debian, as root. Elsewhere it does nothing; the search for the
// program then says what to install.
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

// forbidServices keeps packages from starting their services on installation, by the
// means that Debian's policy has for it, until it is released. One's own policy stays.
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
