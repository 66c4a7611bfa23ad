package status

import (
	"time"

	"holdfast/proxy"
)

// The names of the fields end in the unit of their value.

// A Status is the answer of /api/status.
type Status struct {
	Version       string    `json:"version"`
	Started       time.Time `json:"started"`
	Uptime        float64   `json:"uptime_s"`
	Ready         bool      `json:"ready"` // new clients should be sent here
	Draining      bool      `json:"draining"`
	UpstreamUp    bool      `json:"upstream_up"`  // an upstream can get sessions
	Accepts       bool      `json:"accepts"`      // new clients are let in; of a drain they are until its delay has passed
	DrainLeft     float64   `json:"drain_left_s"` // how long the drain takes at most
	Sessions      int       `json:"sessions"`
	SessionsLimit int       `json:"sessions_limit"` // sessions and handshakes at once
	PlacesTaken   int       `json:"places_taken"`   // of the limit
	Handshakes    int       `json:"handshakes"`     // under way

	Legs             Legs       `json:"legs"`
	Ends             Ends       `json:"ends"`
	HandshakeResults Results    `json:"handshake_results"`
	Upstreams        []Upstream `json:"upstreams"`
	May              May        `json:"may"`
}

// Legs are both sides of all sessions.
type Legs struct {
	Client   Leg `json:"client"`
	Upstream Leg `json:"upstream"`
}

// A Leg is one side of all sessions. The rates are of the last seconds.
type Leg struct {
	RTT           RTT     `json:"rtt"`
	ReceivedRate  float64 `json:"received_bytes_per_s"`
	SentRate      float64 `json:"sent_bytes_per_s"`
	PingsSentRate float64 `json:"pings_sent_per_s"`
	BufferedBytes int64   `json:"buffered_bytes"` // that wait to be sent
	ReadsPaused   int64   `json:"reads_paused"`   // connections that are not read from
}

// An RTT is the distribution of round trips in the window. A quantile is nil if there were
// none, and the last bound if it lies beyond that.
type RTT struct {
	Count   uint64   `json:"count"`
	P50     *float64 `json:"p50_ms"`
	P90     *float64 `json:"p90_ms"`
	P99     *float64 `json:"p99_ms"`
	Buckets []Bucket `json:"buckets"`
}

// A Bucket counts the round trips that took at most LE.
type Bucket struct {
	LE    *float64 `json:"le_ms"` // nil: all
	Count uint64   `json:"count"`
}

// Ends are the sessions that ended in the window.
type Ends struct {
	Window  float64   `json:"window_s"`
	Opened  uint64    `json:"opened"`
	Closed  []Closed  `json:"closed"`  // by the side that began; without zeros
	Dropped []Dropped `json:"dropped"` // by side and reason; without zeros
}

// Closed counts the sessions that ended by a close handshake that Side began.
type Closed struct {
	Side  string `json:"side"`
	Count uint64 `json:"count"`
}

// Dropped counts the sessions that were dropped for Reason, with Side at fault.
type Dropped struct {
	Side   string `json:"side"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// Results are the handshakes that ended in the window, by each result that there is.
type Results struct {
	Window  float64           `json:"window_s"`
	Results map[string]uint64 `json:"results"`
}

// An Upstream is one address of an upstream.
type Upstream struct {
	Name       string            `json:"name"` // what stands in the paths of the upstream
	Upstream   string            `json:"upstream"`
	Address    string            `json:"address"` // empty if there is none
	State      proxy.TargetState `json:"state"`
	Sessions   int               `json:"sessions"`
	Handshakes int               `json:"handshakes"`       // that are on their way to it
	Reason     string            `json:"reason,omitempty"` // why it is down, or has no address
}

// UpstreamOf returns a target as operators see it.
func UpstreamOf(t proxy.TargetStatus) Upstream {
	return Upstream{t.Name(), t.Upstream, t.Address, t.State, t.Sessions, t.Handshakes, t.Reason}
}

// May says what a client of the admin listener may ask for.
type May struct {
	List bool `json:"list"` // sessions, ends and the configuration
	Act  bool `json:"act"`  // changes
}

// SessionList is the answer of /api/sessions.
type SessionList struct {
	Total    int       `json:"total"`   // open sessions
	Matched  int       `json:"matched"` // those of them that the filter leaves
	Shown    int       `json:"shown"`
	Sessions []Session `json:"sessions"`
}

// SessionListOf returns a list as operators see it.
func SessionListOf(l proxy.SessionList) SessionList {
	list := SessionList{Total: l.Total, Matched: l.Matched, Shown: len(l.Sessions), Sessions: []Session{}}
	for _, s := range l.Sessions {
		list.Sessions = append(list.Sessions, SessionOf(s))
	}
	return list
}

// A Session is an open session.
type Session struct {
	ID               string             `json:"id"`
	Client           string             `json:"client"`
	Path             string             `json:"path"`
	Upstream         string             `json:"upstream"`
	Address          string             `json:"address"`
	Age              float64            `json:"age_s"`
	Idle             float64            `json:"idle_s"`
	ClientRTT        *float64           `json:"client_rtt_ms"` // nil: not measured
	UpstreamRTT      *float64           `json:"upstream_rtt_ms"`
	ClientAppRTT     *float64           `json:"client_app_rtt_ms"` // of the application's heartbeat
	UpstreamAppRTT   *float64           `json:"upstream_app_rtt_ms"`
	ClientSilent     float64            `json:"client_silent_s"`
	UpstreamSilent   float64            `json:"upstream_silent_s"`
	ClientBuffered   int                `json:"client_buffered_bytes"`
	UpstreamBuffered int                `json:"upstream_buffered_bytes"`
	ClientFrames     uint64             `json:"client_frames"`
	UpstreamFrames   uint64             `json:"upstream_frames"`
	State            proxy.SessionState `json:"state"`
}

// SessionOf returns a session as operators see it.
func SessionOf(s proxy.SessionStatus) Session {
	c, u := &s.Legs[0], &s.Legs[1]
	return Session{
		ID:               proxy.SessionName(s.ID),
		Client:           proxy.ClientName(s.Client),
		Path:             s.Path,
		Upstream:         s.Upstream,
		Address:          s.Address,
		Age:              s.Age.Seconds(),
		Idle:             s.Idle.Seconds(),
		ClientRTT:        milliseconds(c.RTT, c.Measured),
		UpstreamRTT:      milliseconds(u.RTT, u.Measured),
		ClientAppRTT:     milliseconds(c.AppRTT, c.AppMeasured),
		UpstreamAppRTT:   milliseconds(u.AppRTT, u.AppMeasured),
		ClientSilent:     c.Silent.Seconds(),
		UpstreamSilent:   u.Silent.Seconds(),
		ClientBuffered:   c.Buffered,
		UpstreamBuffered: u.Buffered,
		ClientFrames:     c.Frames,
		UpstreamFrames:   u.Frames,
		State:            s.State,
	}
}

// milliseconds returns d for a field whose unit is ms, or nil if it was not measured.
func milliseconds(d time.Duration, measured bool) *float64 {
	if !measured {
		return nil
	}
	return new(d.Seconds() * 1000)
}

// EndList is the answer of /api/ends: the last ends, the newest first.
type EndList struct {
	Ends []End `json:"ends"`
}

// An End is how a session ended. A code is 0 if there was no Close, and 1005 if the Close
// had no code.
type End struct {
	Time              time.Time `json:"time"`
	ID                string    `json:"id"`
	Client            string    `json:"client"`
	Path              string    `json:"path"`
	Upstream          string    `json:"upstream"`
	Address           string    `json:"address"`
	Closed            bool      `json:"closed"` // by a close handshake that Side began; else Side was at fault
	Side              string    `json:"side"`
	Reason            string    `json:"reason"` // "close" if Closed
	Detail            string    `json:"detail"`
	Duration          float64   `json:"duration_s"`
	ClientSilent      float64   `json:"client_silent_s"` // when the end began
	UpstreamSilent    float64   `json:"upstream_silent_s"`
	CloseToClient     uint16    `json:"close_to_client"`
	CloseFromClient   uint16    `json:"close_from_client"`
	CloseToUpstream   uint16    `json:"close_to_upstream"`
	CloseFromUpstream uint16    `json:"close_from_upstream"`
}

// endOf returns an end as operators see it. Its words are those of the log.
func endOf(at time.Time, e *proxy.Ended) End {
	c, u := &e.Legs[0], &e.Legs[1]
	reason := e.Reason.String()
	if e.Closed {
		reason = "close"
	}
	return End{
		Time:              at.UTC(),
		ID:                proxy.SessionName(e.ID),
		Client:            proxy.ClientName(e.Client),
		Path:              e.Path,
		Upstream:          e.Upstream,
		Address:           e.Address,
		Closed:            e.Closed,
		Side:              e.Side.String(),
		Reason:            reason,
		Detail:            e.Detail,
		Duration:          e.Duration.Seconds(),
		ClientSilent:      c.Silent.Seconds(),
		UpstreamSilent:    u.Silent.Seconds(),
		CloseToClient:     c.CloseSent,
		CloseFromClient:   c.CloseReceived,
		CloseToUpstream:   u.CloseSent,
		CloseFromUpstream: u.CloseReceived,
	}
}

// Skipped is the event that stands for ends that are not told one by one.
type Skipped struct {
	Ends uint64 `json:"ends"`
}

// Configuration is the answer of /api/configuration.
type Configuration struct {
	Variables []Variable `json:"variables"`
}

// A Variable is the effective value of a variable of the configuration.
type Variable struct {
	Name    string `json:"name"`
	Value   string `json:"value"`          // Hidden for a secret that is set
	Source  string `json:"source"`         // default, environment, file, inherited or derived
	From    string `json:"from,omitempty"` // the other variable that the value comes from
	Meaning string `json:"meaning"`
	Secret  bool   `json:"secret"`
}

// Hidden is shown in place of a secret.
const Hidden = "(hidden)"
