package page

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// Seen is what one client may see.
type Seen struct {
	Status     status.Status
	Authorized bool // the client has sent an Authorization, a right one or a wrong one

	LimitedBy string        // what sets the limit on sessions; empty if that is not known
	Spread    time.Duration // over which a drained address's sessions end
	DrainCode uint16        // of the Close that they get
	Host      string        // where the listener can be reached on its own machine, as host:port

	// The others are empty if the client may not see them (Status.May.List).
	Query     proxy.SessionQuery // of the list
	Sessions  status.SessionList
	Ends      []status.End // the newest first
	Variables []status.Variable
}

// listed is how many sessions the page shows at most.
const listed = 200

// QueryOf returns which sessions the parameters of a request for the page ask for. It
// ignores parameters that it does not know.
func QueryOf(parameters url.Values) proxy.SessionQuery {
	q := proxy.SessionQuery{
		Limit: listed, Order: proxy.SessionOrders[0],
		Ascending: parameters.Get("order") == "asc",
		Filter:    strings.TrimSpace(parameters.Get("filter")),
	}
	if i := slices.Index(proxy.SessionOrders, proxy.SessionOrder(parameters.Get("sort"))); i >= 0 {
		q.Order = proxy.SessionOrders[i]
	}
	return q
}

// parametersOf returns the parameters that ask for q.
func parametersOf(q proxy.SessionQuery) url.Values {
	p := url.Values{"sort": {string(q.Order)}, "order": {orderOf(q)}}
	if q.Filter != "" {
		p.Set("filter", q.Filter)
	}
	return p
}

func orderOf(q proxy.SessionQuery) string {
	if q.Ascending {
		return "asc"
	}
	return "desc"
}
