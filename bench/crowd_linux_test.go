package main

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A crowd knows who was told what, and each client comes back, even if the first attempt
// is refused.
func TestCrowd(t *testing.T) {
	ends := [][]byte{
		appendFrame(nil, opClose, nil, []byte{0x03, 0xF4}), // 1012
		appendFrame(nil, opClose, nil, nil),
		nil, // the connection ends without a Close
	}
	begin := make(chan struct{})
	service := serveEach(t, func(i int, conn net.Conn) {
		switch {
		case i < len(ends):
			accept(conn)
			<-begin
			_, _ = conn.Write(ends[i]) // the client notices an error
		case i == len(ends): // the first attempt to connect again ends without an answer
		default:
			accept(conn)
			_, _ = io.Copy(io.Discard, conn) // until the client leaves
		}
	})
	c, err := openCrowd(service, len(ends))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.next = service
	close(begin)
	for deadline := time.Now().Add(time.Minute); c.back < len(ends); {
		if err := c.turn(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are back, want %d", c.back, len(ends))
		}
	}
	if want := map[int]int{1012: 1, noCode: 1}; !maps.Equal(c.told, want) || c.cut != 1 {
		t.Errorf("clients were told %v and %d were cut, want %v and 1", c.told, c.cut, want)
	}
	if len(c.ends) != len(ends) || len(c.asked) != len(ends)+1 {
		t.Errorf("%d sessions ended and clients tried %d times, want %d and %d", len(c.ends), len(c.asked), len(ends), len(ends)+1)
	}
}

// serveEach serves connections side by side, with their number in the order of arrival.
func serveEach(t *testing.T, serve func(i int, conn net.Conn)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				defer conn.Close()
				serve(i, conn)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// accept reads the request of a crowd's client, and answers it with a 101.
func accept(conn net.Conn) {
	for in := bufio.NewReader(conn); ; {
		if line, err := in.ReadString('\n'); err != nil || line == "\r\n" {
			break
		}
	}
	_, _ = conn.Write(upgradeResponse(sampleKey)) // the client notices an error
}
