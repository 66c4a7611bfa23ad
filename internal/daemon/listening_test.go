package daemon

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

// These errors are not made for real: root is denied nothing, and no test asks for names.
func TestRemedies(t *testing.T) {
	for _, tc := range []struct {
		address string
		err     error
		want    string
	}{
		{":80", os.NewSyscallError("bind", syscall.EACCES), "; set a port of 1024 or above, or give this program the capability CAP_NET_BIND_SERVICE"},
		{"holdfast.invalid:8080", &net.DNSError{Name: "holdfast.invalid", Err: "no such host", IsNotFound: true}, "; set an address of this machine"},
		{"unix:/run/a.sock", os.NewSyscallError("bind", syscall.EACCES),
			fmt.Sprintf("; allow user %d, as which this process runs, to write to the folder, or set another path", os.Geteuid())},
		{":8080", os.NewSyscallError("socket", syscall.EMFILE), ""},
	} {
		err := &net.OpError{Op: "listen", Net: "tcp", Err: tc.err}
		if got, want := named("HOLDFAST_LISTEN", tc.address, err).Error(), "HOLDFAST_LISTEN: "+err.Error()+tc.want; got != want {
			t.Errorf("%s: got  %s\nwant %s", tc.address, got, want)
		}
	}
}

// A name for this machine is not looked up when the configuration is read. So two
// listeners may still want one address, and then the other program is this one.
func TestAddressTakenByTheOtherListener(t *testing.T) {
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	_, port, _ := net.SplitHostPort(admin.Addr().String())
	inUse := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	denied := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}
	for _, tc := range []struct {
		address string
		admin   net.Listener
		err     error
		want    bool
	}{
		{"this-machine.example:" + port, admin, inUse, true},
		{"this-machine.example:" + port, admin, denied, false},
		{"this-machine.example:" + port, nil, inUse, false},
		{"this-machine.example:1", admin, inUse, false},
		{"unix:/run/a.sock", admin, inUse, false},
	} {
		if got := isTaken(tc.address, tc.admin, tc.err); got != tc.want {
			t.Errorf("%s, %v: taken by the admin listener: %v, want %v", tc.address, tc.err, got, tc.want)
		}
	}
}
