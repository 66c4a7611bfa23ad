package web

import (
	"container/list"
	"net/netip"
	"sync"
)

// idlers are the guests that wait for their next request. Any of them can be
// closed: a client must cope with that (RFC 9112 9.3.1), so they give way to
// clients that would find no room otherwise.
type idlers struct {
	mu sync.Mutex

	// Guarded by mu.
	all list.List                 // of *Guest, longest idle first
	of  map[netip.Addr]*list.List // of *Guest of each account, longest idle first
}

// waiting is a guest's place among the idlers.
type waiting struct {
	inAll, inAccount *list.Element // nil if it is not idle; inAccount also without an account
}

// add notes that a guest waits for its next request.
func (i *idlers) add(g *Guest) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if g.waiting.inAll != nil {
		return
	}
	g.waiting.inAll = i.all.PushBack(g)
	g.idle.Store(true)
	if !g.Account.IsValid() {
		return
	}
	if i.of == nil {
		i.of = make(map[netip.Addr]*list.List)
	}
	if i.of[g.Account] == nil {
		i.of[g.Account] = list.New()
	}
	g.waiting.inAccount = i.of[g.Account].PushBack(g)
}

// remove notes that a guest does something, or is gone.
func (i *idlers) remove(g *Guest) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(g)
}

// drop is remove, under mu.
func (i *idlers) drop(g *Guest) {
	if g.waiting.inAll == nil {
		return
	}
	i.all.Remove(g.waiting.inAll)
	if g.waiting.inAccount != nil {
		its := i.of[g.Account]
		its.Remove(g.waiting.inAccount)
		if its.Len() == 0 {
			delete(i.of, g.Account)
		}
	}
	g.waiting = waiting{}
	g.idle.Store(false)
}

// longest takes out the guest that has been idle longest.
func (i *idlers) longest() *Guest {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.all.Len() == 0 {
		return nil
	}
	g := i.all.Front().Value.(*Guest)
	i.giveWay(g)
	return g
}

// giveWay takes out a guest that is to be closed, under mu. Either this or the
// guest's next request comes first, and the other does not happen.
func (i *idlers) giveWay(g *Guest) {
	g.expired.Store(true)
	i.drop(g)
}

// longestOf takes out the guest of an account that has been idle longest. It
// no longer counts for the account.
func (i *idlers) longestOf(account netip.Addr) *Guest {
	i.mu.Lock()
	defer i.mu.Unlock()
	its := i.of[account]
	if its == nil {
		return nil
	}
	g := its.Front().Value.(*Guest)
	i.giveWay(g)
	g.Account = netip.Addr{}
	return g
}

// Idle returns how many connections Yield could close.
func (s *Server) Idle() int {
	s.idlers.mu.Lock()
	defer s.idlers.mu.Unlock()
	return s.idlers.all.Len()
}

// Yield closes the connection that has waited longest for its next request. It
// returns false if none waits for one. It does not block: Gone is called when the
// connection is closed.
func (s *Server) Yield() bool {
	g := s.idlers.longest()
	if g != nil {
		g.expire()
	}
	return g != nil
}

// YieldOf is Yield among the connections of one account. The connection that
// gives way no longer counts for the account: its Account is the zero Addr.
func (s *Server) YieldOf(account netip.Addr) bool {
	g := s.idlers.longestOf(account)
	if g != nil {
		g.expire()
	}
	return g != nil
}

// expire ends a guest that gives way as if its time were up: net/http, whose
// goroutine waits in Read, closes the connection then.
func (g *Guest) expire() {
	_ = g.Conn.SetReadDeadline(longAgo) // it fails only on a closed connection
}
