package probe

import (
	"net"
	"testing"
)

func TestConnectionThatReachedItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if reachedItself(other) {
		t.Error("a connection to a listener counts as one to itself")
	}
	free := other.LocalAddr().(*net.TCPAddr)
	free.IP = net.IPv4(127, 0, 0, 2)
	itself, err := (&net.Dialer{LocalAddr: free}).Dial("tcp", free.String())
	if err != nil {
		t.Fatal(err)
	}
	defer itself.Close()
	if !reachedItself(itself) {
		t.Error("a connection to itself counts as one to a listener")
	}
}
