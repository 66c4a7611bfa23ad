package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/config"
)

// configured returns the configuration of an environment that is well formed.
func configured(t *testing.T, environ ...string) config.Config {
	t.Helper()
	c, _, found := config.Load(append(environ, "HOLDFAST_UPSTREAM=ws://localhost:9000"))
	if len(found) > 0 {
		t.Fatal(found)
	}
	return c
}

// What a start would fail on is told before it.
func TestUnbindable(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{
		":0":                                 "",
		"127.0.0.1:0":                        "",
		"[::]:0":                             "",
		"localhost:0":                        "",
		"192.0.2.1:80":                       `HOLDFAST_LISTEN="192.0.2.1:80" cannot be listened on: cannot assign requested address; set an address of this machine`,
		"unix:" + folder + "/a.sock":         "",
		"unix:" + folder + "/absent/a.sock":  `HOLDFAST_LISTEN="unix:` + folder + `/absent/a.sock" cannot be listened on: no such file or directory; create the folder first, or correct the path`,
		"unix:" + file + "/a.sock?mode=0660": `HOLDFAST_LISTEN="unix:` + file + `/a.sock" cannot be listened on: not a directory; a part of the path is not a folder: correct it`,
		"unix:" + file:                       `HOLDFAST_LISTEN="unix:` + file + `" cannot be listened on: address already in use; a file that is not a socket is there: remove it, or set another path`,
		"systemd:web":                        "",
	} {
		c := configured(t, "HOLDFAST_LISTEN="+listen, "HOLDFAST_ADMIN_LISTEN=off")
		if got := Unbindable(c).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	c := configured(t, "HOLDFAST_ADMIN_LISTEN=192.0.2.1:80", "HOLDFAST_LISTEN=192.0.2.1:81")
	if found := Unbindable(c); len(found) != 2 {
		t.Errorf("two addresses of another machine: %v", found)
	}
}

// Holdfast may run already, and goes on undisturbed.
func TestAddressesInUseAreBindable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if found := Unbindable(configured(t, "HOLDFAST_LISTEN=unix:"+path, "HOLDFAST_ADMIN_LISTEN="+taken.Addr().String())); len(found) > 0 {
		t.Errorf("addresses in use: %v", found)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket's file was touched: %v", err)
	}
	unused := filepath.Join(filepath.Dir(path), "b.sock")
	if found := Unbindable(configured(t, "HOLDFAST_LISTEN=unix:"+unused)); len(found) > 0 {
		t.Errorf("a path that is free: %v", found)
	}
	if _, err := os.Lstat(unused); err == nil {
		t.Error("a socket's file was left")
	}
}
