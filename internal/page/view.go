package page

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"holdfast/internal/status"
)

// view is what page.html shows.
type view struct {
	Version  string
	State    state
	At       string // when this was the state
	Facts    []fact
	Limit    string // what limits the places
	Pictures []picture

	Window     string
	Dropped    []row
	Closed     []row
	Histograms []histogram
	Funnel     []row
	Lost       []row
	Upstreams  []target

	MayList, MayAct bool
	Rights          rights
	Authorized      bool
	Sessions        list
	Last            []lastEnd
	Settings        []setting
	Changed         int // of the settings: those that the environment or a file sets

	Spread    string // over which a drained address's sessions end
	DrainCode uint16 // of the Close that they get
}

// spreadOf says over how long the sessions of a drained address end.
func spreadOf(d time.Duration) string {
	if d == 0 {
		return "at once"
	}
	return "spread over " + span(d.Seconds())
}

type fact struct{ Name, Value string }

func newView(a Seen) view {
	st := stateOf(a)
	c := sceneOf(a.Status, st)
	v := view{
		Version: a.Status.Version, State: st, At: a.Status.Started.Add(seconds(a.Status.Uptime)).UTC().Format("15:04:05") + " UTC",
		Facts:    factsOf(a.Status),
		Limit:    limitOf(a),
		Pictures: []picture{wide(c), tall(c)},
		Window:   roughly(a.Status.Ends.Window),
		Dropped:  droppedOf(a.Status), Closed: closedOf(a.Status),
		Histograms: []histogram{
			histogramOf("client", "Round trips to clients", a.Status.Legs.Client),
			histogramOf("upstream", "Round trips to upstreams", a.Status.Legs.Upstream),
		},
		Upstreams: targetsOf(a.Status.Upstreams),
		MayList:   a.Status.May.List, MayAct: a.Status.May.Act, Rights: rightsOf(a), Authorized: a.Authorized,
		Sessions: listOf(a.Query, a.Sessions),
		Spread:   spreadOf(a.Spread), DrainCode: a.DrainCode,
	}
	v.Funnel, v.Lost = funnelOf(a.Status.HandshakeResults.Results)
	for _, e := range a.Ends {
		v.Last = append(v.Last, lastOf(e))
	}
	for _, s := range a.Variables {
		changed := s.Source == "environment" || s.Source == "file"
		if changed {
			v.Changed++
		}
		v.Settings = append(v.Settings, setting{s, changed, strings.SplitAfter(s.Value, ",")})
	}
	return v
}

func factsOf(s status.Status) []fact {
	facts := []fact{
		{"running for", span(s.Uptime)},
		{"opened, " + roughly(s.Ends.Window), count(int(s.Ends.Opened))},
		{"pings to clients", rate(s.Legs.Client.PingsSentRate)},
		{"pings to upstreams", rate(s.Legs.Upstream.PingsSentRate)},
		{"waiting to be sent", size(float64(s.Legs.Client.BufferedBytes + s.Legs.Upstream.BufferedBytes))},
	}
	if s.SessionsLimit > 0 {
		facts = slices.Insert(facts, 1, fact{"places taken", count(s.PlacesTaken) + " of " + count(s.SessionsLimit)})
	}
	if paused := s.Legs.Client.ReadsPaused + s.Legs.Upstream.ReadsPaused; paused > 0 {
		facts = append(facts, fact{"legs not read", count(int(paused))})
	}
	return facts
}

func rate(perSecond float64) string {
	if perSecond >= 100 {
		return fmt.Sprintf("%.0f a second", perSecond)
	}
	return fmt.Sprintf("%.1f a second", perSecond)
}

// rights says why the client sees no sessions, and how it gets to see them.
type rights struct {
	Text  string
	Token string // what the token's field is for; a browser without JavaScript has no such field
}

func rightsOf(a Seen) rights {
	host := cmp.Or(a.Host, "127.0.0.1:8081")
	switch {
	case a.Status.May.List:
		return rights{}
	case a.Authorized:
		return rights{Text: "The token is not the value of HOLDFAST_ADMIN_TOKEN, or none is set. Paste the right one, " +
			"or open this page on the proxy's own host."}
	}
	_, port, _ := net.SplitHostPort(host)
	return rights{
		"Sessions, ends, the configuration and the buttons are for operators. Open this page on the proxy's own host, " +
			"for example through ssh -L " + port + ":" + host + " HOST.",
		"Or paste the value of HOLDFAST_ADMIN_TOKEN.",
	}
}
