package backend

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A nameServer answers for one name over UDP, as the test says. No other name exists.
type nameServer struct {
	t    *testing.T
	conn net.PacketConn
	name string

	mu       sync.Mutex // guards the fields below
	addrs    string     // with spaces between them; empty: the name does not exist
	fails    [2]bool    // whether questions for IPv4, and for IPv6, are answered with SERVFAIL
	isSilent bool       // whether questions are not answered
	open     []inquiry  // that came meanwhile
}

// An inquiry is a message with one question, and the address that it came from.
type inquiry struct {
	dnsmessage.Message
	from net.Addr
}

// serveName begins to answer for a name.
func serveName(t *testing.T, name string) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{t: t, conn: conn, name: name}
	var served sync.WaitGroup
	served.Go(s.serve)
	t.Cleanup(func() {
		conn.Close()
		served.Wait()
	})
	return s
}

// says changes the answers.
func (s *nameServer) says(addrs string) { s.change(addrs, [2]bool{}, false) }

// change changes the answers. The end of a silence answers the questions that are open: a
// resolver waits some seconds for an answer, though the lookup has ended for its caller.
func (s *nameServer) change(addrs string, fails [2]bool, isSilent bool) {
	s.mu.Lock()
	s.addrs, s.fails, s.isSilent = addrs, fails, isSilent
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for _, asked := range open {
		s.reply(asked)
	}
}

func (s *nameServer) serve() {
	b := make([]byte, 1<<10)
	for {
		n, from, err := s.conn.ReadFrom(b)
		if err != nil {
			return // the test has ended
		}
		asked := inquiry{from: from}
		if err := asked.Unpack(b[:n]); err != nil || len(asked.Questions) != 1 {
			s.t.Errorf("the question cannot be read: %v", err)
			return
		}
		s.reply(asked)
	}
}

// reply answers a question, or keeps it for the end of the silence.
func (s *nameServer) reply(asked inquiry) {
	answer, err := s.answer(asked)
	if err != nil {
		s.t.Errorf("the answer cannot be written: %v", err)
	}
	if answer != nil {
		_, _ = s.conn.WriteTo(answer, asked.from)
	}
}

// answer returns the answer to a question, or nil if there is none now.
func (s *nameServer) answer(asked inquiry) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	question := asked.Questions[0]
	to := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: asked.ID, Response: true, RecursionAvailable: true},
		Questions: asked.Questions,
	}
	family := 0
	if question.Type == dnsmessage.TypeAAAA {
		family = 1
	}
	switch exists := question.Name.String() == s.name+"."; {
	case s.isSilent:
		s.open = append(s.open, asked)
		return nil, nil
	case exists && s.fails[family]:
		to.RCode = dnsmessage.RCodeServerFailure
	case !exists || s.addrs == "":
		to.RCode = dnsmessage.RCodeNameError
	default:
		to.Answers = answers(question, s.addrs)
	}
	return to.Pack()
}

// answers returns the records of the addresses that are of the question's family.
func answers(question dnsmessage.Question, addrs string) (all []dnsmessage.Resource) {
	for text := range strings.FieldsSeq(addrs) {
		addr := netip.MustParseAddr(text)
		var body dnsmessage.ResourceBody
		switch {
		case addr.Is4() && question.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: addr.As4()}
		case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		default:
			continue
		}
		all = append(all, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class, TTL: 5},
			Body:   body,
		})
	}
	return all
}

// find looks names up at the server. A lookup that is not answered ends soon.
func (s *nameServer) find(ctx context.Context, host string) ([]netip.Addr, error) {
	s.mu.Lock()
	silent := s.isSilent
	s.mu.Unlock()
	if silent {
		soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		ctx = soon
	}
	return lookUpWith(&net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
		},
	})(ctx, host)
}

// newNamedRig returns a rig with the upstream ws://service.example, which is looked up at
// a server.
func newNamedRig(t *testing.T, addrs string, changes ...func(*Config)) (*rig, *nameServer) {
	t.Helper()
	server := serveName(t, "service.example")
	server.says(addrs)
	changes = append(changes, func(cfg *Config) {
		cfg.Find = server.find
		cfg.DialTimeout = time.Minute // of the real time for a lookup
	})
	return newRig(t, []string{"ws://service.example"}, changes...), server
}

// An address that comes is used, and one that goes gets no new session. It is shown until
// its last session has ended, and if it comes back before that it is the same target.
func TestAnswersThatChange(t *testing.T) {
	const one, two, six = "192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"
	r, server := newNamedRig(t, "192.0.2.1")
	r.wantsTargets("the first answer", one)
	first := r.opens(request(), aClient)
	second := r.opens(request(), aClient)

	server.says("192.0.2.1 192.0.2.2")
	r.passes(addressesFresh)
	r.wantsTargets("an address has come", one, two)
	r.wantsUp("a check has found it", two, true)
	if to := r.opens(request(), aClient); to.address != two {
		t.Errorf("the next session goes to %s, want the new address, which has none", to.address)
	} else {
		ends(to)
	}

	server.says("192.0.2.2 2001:db8::1")
	r.passes(addressesFresh)
	r.wantsTargets("one has gone, and has sessions", "-"+one, two, six)
	if sessions, _ := r.series("sessions_active", one); sessions != 2 {
		t.Errorf("the address that has gone shows %v sessions, want 2", sessions)
	}
	if !first.Gone() {
		t.Error("the target does not know that it has gone")
	}
	for range 100 {
		if to := r.firstOf(request(), aClient); to == one {
			t.Fatal("a session goes to an address that has gone")
		}
	}
	ends(first)
	r.wantsTargets("one session is left", "-"+one, two, six)

	server.says("192.0.2.1 192.0.2.2 2001:db8::1")
	r.passes(addressesFresh)
	r.wantsTargets("it has come back", one, two, six)
	if back := r.target(one); back != first || back.Gone() {
		t.Error("it has come back as another target, or does not know it")
	}

	server.says("192.0.2.2")
	r.passes(addressesFresh)
	r.wantsTargets("it has gone again, and the other had no session", "-"+one, two)
	ends(second)
	r.wantsTargets("the last session has ended", two)
	if _, there := r.series("sessions_active", one); there {
		t.Error("a target without sessions that has gone has a series")
	}

	server.says("192.0.2.1")
	r.passes(addressesFresh)
	r.wantsTargets("it has come once more", one)
	if r.target(one) == first {
		t.Error("the target was forgotten, and is there again")
	}
}

// A handshake on its way to an address keeps the target, and its series.
func TestHandshakeKeepsATargetThatGoes(t *testing.T) {
	r, server := newNamedRig(t, "192.0.2.1")
	route := r.route()
	wantsTry(t, route, r.now, theOne)
	route = r.route()
	if route.Next(r.now) != Try {
		t.Fatal("there is no target")
	}
	server.says("192.0.2.2")
	r.passes(addressesFresh)
	r.wantsTargets("a handshake is on its way", "-"+theOne, "192.0.2.2:80")
	route.To.Leave()
	r.wantsTargets("it has come to nothing", "192.0.2.2:80")
}

// An answer that the name has no address empties the pool. The lack of an answer leaves the
// addresses in use. The log says each once.
func TestAnswersThatFail(t *testing.T) {
	for name, test := range map[string]struct {
		addrs    string
		fails    [2]bool
		isSilent bool
		want     []string
		line     string
	}{
		"no such name":                  {"", [2]bool{}, false, nil, "its name has no address"},
		"the server fails":              {"", [2]bool{true, true}, false, []string{theOne}, "cannot be looked up"},
		"it fails for the other family": {"", [2]bool{false, true}, false, []string{theOne}, "cannot be looked up"},
		"it fails for this family":      {"", [2]bool{true, false}, false, []string{theOne}, "cannot be looked up"},
		"no answer":                     {"192.0.2.2", [2]bool{}, true, []string{theOne}, "cannot be looked up"},
	} {
		t.Run(name, func(t *testing.T) {
			r, server := newNamedRig(t, "192.0.2.1")
			server.change(test.addrs, test.fails, test.isSilent)
			r.passes(3 * addressesFresh)
			r.wantsTargets(name, test.want...)
			r.wantsLines(name, 1, "WARN")
			r.wantsLines(name, 1, "WARN", test.line)
			if r.Up() != (test.want != nil) {
				t.Errorf("the pool is up: %v", r.Up())
			}
			server.says("192.0.2.3")
			r.passes(addressesFresh)
			r.wantsTargets("the name is found again", "192.0.2.3:80")
			r.wantsUp("the name is found again", "192.0.2.3:80", true)
			r.wantsLines("the name is found again", 1, "the upstream's name is found again")
		})
	}
}

// A name that has addresses of one family only is found, although the other is not there.
func TestNameOfOneFamily(t *testing.T) {
	for addrs, want := range map[string]string{"192.0.2.1": theOne, "2001:db8::1": "[2001:db8::1]:80"} {
		r, _ := newNamedRig(t, addrs)
		r.wantsTargets("it has "+addrs, want)
		r.wantsLines("it has "+addrs, 0, "WARN")
	}
}
