package page

import (
	"cmp"
	"strconv"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// target is one address of an upstream, or an upstream whose name leads to no address, as
// the table shows it.
type target struct {
	Name, Upstream, Address string
	Called                  string // the address, or the name of an upstream without one
	State                   proxy.TargetState
	Reason                  string
	Sessions, Opening       string
	Mark                    string // a sign beside the colour
	MayDrain                bool
}

func targetsOf(all []status.Upstream) (rows []target) {
	marks := map[proxy.TargetState]string{proxy.TargetUp: "●", proxy.TargetDown: "✕", proxy.TargetDraining: "◐"}
	for _, u := range all {
		mark, known := marks[u.State]
		if !known {
			mark = "○"
		}
		rows = append(rows, target{
			u.Name, u.Upstream, u.Address, called(u), u.State, u.Reason, count(u.Sessions), count(u.Handshakes), mark,
			u.State == proxy.TargetUp || u.State == proxy.TargetDown,
		})
	}
	return rows
}

// called returns what the page calls a target: its address, or the name of its upstream if
// that leads to no address.
func called(u status.Upstream) string { return cmp.Or(u.Address, u.Name) }

// list is the list of sessions.
type list struct {
	Filter  string
	Sort    string
	Order   string
	Caption string
	Columns []column
	Rows    []sessionRow
}

// column is a heading of the list. Clicked, it sorts by its key, or turns the order round.
type column struct {
	Title string
	Link  string // empty if the list cannot be sorted by it
	Aria  string // the value of aria-sort
	Mark  string
}

type sessionRow struct {
	status.Session
	Old, Quiet                  string
	ClientRTTText, UpstreamText string
	Silent                      string
	Buffered                    string
}

func listOf(query proxy.SessionQuery, all status.SessionList) list {
	l := list{Filter: query.Filter, Sort: string(query.Order), Order: orderOf(query)}
	for _, c := range []struct {
		title string
		key   proxy.SessionOrder
	}{
		{"Client", ""}, {"Path", ""}, {"Upstream", ""}, {"Age", "age"}, {"Idle", "idle"}, {"Client RTT", "client_rtt"},
		{"Upstream RTT", "upstream_rtt"}, {"Silent: client, upstream", ""}, {"Buffered", "buffered"},
	} {
		l.Columns = append(l.Columns, columnOf(c.title, c.key, query))
	}
	for _, s := range all.Sessions {
		l.Rows = append(l.Rows, sessionRow{
			Session: s, Old: span(s.Age), Quiet: span(s.Idle),
			ClientRTTText: roundTrips(s.ClientRTT, s.ClientAppRTT), UpstreamText: roundTrips(s.UpstreamRTT, s.UpstreamAppRTT),
			Silent:   span(s.ClientSilent) + ", " + span(s.UpstreamSilent),
			Buffered: size(float64(s.ClientBuffered + s.UpstreamBuffered)),
		})
	}
	shown, matched := len(all.Sessions), all.Matched
	switch {
	case all.Total == 0:
		l.Caption = "No session is open."
	case matched == 0:
		l.Caption = "None of " + counted(all.Total, "session", "sessions") + " matches."
	case shown < matched && matched == all.Total:
		l.Caption = "The first " + count(shown) + " of " + counted(matched, "session", "sessions") + "."
	case shown < matched:
		l.Caption = "The first " + count(shown) + " of " + counted(matched, "session", "sessions") + " that match, of " + count(all.Total) + "."
	case matched < all.Total:
		l.Caption = count(matched) + " of " + counted(all.Total, "session", "sessions") + "."
	default:
		l.Caption = counted(matched, "session", "sessions") + "."
	}
	return l
}

// roundTrips returns the last round trip of a ping, and behind it that of the application's
// heartbeat if there was one.
func roundTrips(ping, app *float64) string {
	if app == nil {
		return milliseconds(ping)
	}
	return milliseconds(ping) + ", app " + milliseconds(app)
}

func columnOf(title string, key proxy.SessionOrder, q proxy.SessionQuery) column {
	c := column{Title: title}
	if key == "" {
		return c
	}
	other := proxy.SessionQuery{Order: key, Filter: q.Filter}
	if q.Order == key {
		other.Ascending = !q.Ascending
		c.Aria, c.Mark = "descending", "↓"
		if q.Ascending {
			c.Aria, c.Mark = "ascending", "↑"
		}
	}
	c.Link = "/?" + parametersOf(other).Encode() + "#sessions"
	return c
}

// lastEnd is one of the last ends.
type lastEnd struct {
	status.End
	When     string
	How      string
	Lasted   string
	Silent   string
	Told     string // the close codes that both were sent
	Sentence string
}

func lastOf(e status.End) lastEnd {
	l := lastEnd{
		End: e, When: e.Time.UTC().Format("15:04:05"), Lasted: span(e.Duration),
		Silent: span(e.ClientSilent) + ", " + span(e.UpstreamSilent),
		Told:   code(e.CloseToClient) + ", " + code(e.CloseToUpstream),
		How:    e.Side, Sentence: ended(e),
	}
	if e.Closed {
		l.How = "closed"
	}
	return l
}

func code(n uint16) string {
	if n == 0 {
		return none
	}
	return strconv.Itoa(int(n))
}

type setting struct {
	status.Variable
	Changed bool
	Parts   []string // of the value: a line may end behind each
}
