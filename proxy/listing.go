package proxy

import (
	"bytes"
	"cmp"
	"container/heap"
	"math"
	"slices"
	"strings"
)

// A listing collects the answer to a query. It keeps as many sessions as the query wants,
// and not more.
type listing struct {
	query SessionQuery
	found SessionList
	best  ranks
	name  [64]byte // scratch: the name of a client
}

// A ranked session has its place by key: the greatest comes first, and of two with the same
// key the one with the smaller id.
type ranked struct {
	key     int64
	session SessionStatus
}

// unranked is the key of a session that does not have what the order asks for.
const unranked = math.MinInt64

func newListing(q SessionQuery) *listing { return &listing{query: q} }

// adds counts an open session, and keeps it if it is one of the first so far.
func (g *listing) adds(l *loop, s *session) {
	g.found.Total++
	if !g.matches(s) {
		return
	}
	g.found.Matched++
	key := g.key(s)
	switch {
	case len(g.best) < g.query.Limit:
		heap.Push(&g.best, &ranked{key, l.status(s)})
	case g.query.Limit > 0 && g.best[0].comesAfter(key, s.id):
		*g.best[0] = ranked{key, l.status(s)}
		heap.Fix(&g.best, 0)
	}
}

// matches reports whether the filter leaves the session. It allocates nothing.
func (g *listing) matches(s *session) bool {
	filter := g.query.Filter
	if filter == "" || strings.Contains(s.path, filter) {
		return true
	}
	name := g.name[:0]
	switch {
	case !s.addr.IsValid():
		name = append(name, unixName...)
	case s.port == 0:
		name = s.addr.AppendTo(name)
	default:
		name = s.remote().AppendTo(name)
	}
	return bytes.Contains(name, []byte(filter))
}

// key returns what the session is ranked by. Loops are asked at different times, so their
// sessions are compared by when something was, and not by how long ago.
func (g *listing) key(s *session) int64 {
	key, there := int64(0), true
	switch g.query.Order {
	case ByIdle:
		key = -int64(s.lastData)
	case ByClientRTT:
		key, there = s.legs[client].rank()
	case ByUpstreamRTT:
		key, there = s.legs[upstream].rank()
	case ByBuffered:
		key = int64(s.legs[client].buffered() + s.legs[upstream].buffered())
	case ByAge:
		key = -int64(s.opened)
	}
	switch {
	case !there:
		return unranked
	case g.query.Ascending:
		return -key
	}
	return key
}

// rank returns the last round trip, and whether one was measured.
func (g *leg) rank() (rtt int64, measured bool) {
	took, measured := g.beat.RTT()
	return int64(took), measured
}

// result returns the list.
func (g *listing) result() SessionList {
	slices.SortFunc(g.best, func(a, b *ranked) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.session.ID, b.session.ID))
	})
	for _, r := range g.best {
		g.found.Sessions = append(g.found.Sessions, r.session)
	}
	return g.found
}

// comesAfter reports whether r has its place behind a session with this key and id.
func (r *ranked) comesAfter(key int64, id uint64) bool {
	return r.key < key || r.key == key && r.session.ID > id
}

// ranks is a heap whose first element is the last in the order.
type ranks []*ranked

func (r ranks) Len() int           { return len(r) }
func (r ranks) Less(i, j int) bool { return r[i].comesAfter(r[j].key, r[j].session.ID) }
func (r ranks) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ranks) Push(x any)        { *r = append(*r, x.(*ranked)) }

// Pop is there for heap.Interface: nothing pops.
func (r *ranks) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// list adds the open sessions of some slots.
func (l *loop) list(slots []slot, to *listing) {
	for i := range slots {
		if s := slots[i].session; s != nil && s.opening == nil {
			to.adds(l, s)
		}
	}
}
