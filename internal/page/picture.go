package page

import (
	"fmt"

	"holdfast/internal/status"
	"holdfast/proxy"
)

// picture shows the clients, Holdfast and the upstreams, and what goes between them. It is
// drawn twice: from left to right, and from top to bottom for narrow screens.
type picture struct {
	Class  string // wide or tall
	W, H   float64
	Label  string // the same in words
	Pipes  []pipe
	Boxes  []box
	Labels []label
	Pills  []pill
}

// pipe is a connection between two boxes.
type pipe struct {
	Path  string
	Class string // quiet, flows, draining or down
}

type box struct {
	X, Y, W, H float64
	Class      string
	Title      string
	Figure     string // large
	Sub        string
	Full       string // the title at its full length, if Title is shortened
	Middle     float64
	T, F, S    float64 // the base lines of title, figure and sub
}

type label struct {
	X, Y   float64
	Anchor string // start, middle or end
	Text   string
}

// pill is the round trip of a leg.
type pill struct {
	X, Y, W      float64
	Mark, Line   float64 // where the sign of a heartbeat begins
	TextX, TextY float64
	Side         string
	Text         string
}

// drawn is how many targets the picture has. The table has all.
const drawn = 5

// traffic is what the picture says of one leg.
type traffic struct {
	to, from string // bytes a second towards the upstream, and towards the client
	rtt      string
	class    string
}

func trafficOf(towardsUpstream, towardsClient float64, l status.Leg, live bool) traffic {
	t := traffic{size(towardsUpstream) + "/s", size(towardsClient) + "/s", milliseconds(l.RTT.P50), "quiet"}
	if live {
		t.class = "flows"
	}
	return t
}

// scene is what both pictures show.
type scene struct {
	client, upstream traffic
	boxes            [2]box // clients and Holdfast
	targets          []box
	pipes            []string // the class of the pipe of each target
	label            string
}

func sceneOf(s status.Status, st state) scene {
	live := s.Sessions > 0
	c := scene{
		client:   trafficOf(s.Legs.Client.ReceivedRate, s.Legs.Client.SentRate, s.Legs.Client, live),
		upstream: trafficOf(s.Legs.Upstream.SentRate, s.Legs.Upstream.ReceivedRate, s.Legs.Upstream, live),
	}
	c.boxes[0] = box{Class: "peer", Title: "clients", Figure: count(s.Sessions), Sub: word(s.Sessions, "session", "sessions")}
	c.boxes[1] = box{Class: "proxy " + string(st.Level), Title: "Holdfast", Figure: mood(s), Sub: count(s.Handshakes) + " opening"}
	for i, u := range s.Upstreams {
		if i == drawn-1 && len(s.Upstreams) > drawn {
			c.targets = append(c.targets, restOf(s.Upstreams[i:]))
			c.pipes = append(c.pipes, "quiet")
			break
		}
		c.targets = append(c.targets, boxOf(u))
		c.pipes = append(c.pipes, pipeClass(u))
	}
	c.label = counted(s.Sessions, "session", "sessions") + " between clients and " +
		addressesOf(s.Upstreams) + ". From clients " + c.client.to + ", to clients " + c.client.from +
		", round trip " + c.client.rtt + ". To upstreams " + c.upstream.to + ", from upstreams " + c.upstream.from + ", round trip " + c.upstream.rtt + "."
	return c
}

// boxOf shows a target.
func boxOf(u status.Upstream) box {
	b := box{
		Class: "target " + string(u.State), Title: shortened(called(u), 26), Full: u.Upstream + " at " + u.Address,
		Sub: loadOf(u.Sessions, u.Handshakes) + " · " + string(u.State),
	}
	if u.Address == "" {
		b.Full, b.Sub = u.Upstream+", without an address", "no address · "+string(u.State)
	}
	return b
}

// addressesOf says how many addresses there are, and how many upstreams have none.
func addressesOf(all []status.Upstream) string {
	lost := 0
	for _, u := range all {
		if u.Address == "" {
			lost++
		}
	}
	text := counted(len(all)-lost, "upstream address", "upstream addresses")
	if lost > 0 {
		text += ", and " + counted(lost, "upstream", "upstreams") + " without an address"
	}
	return text
}

func word(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func mood(s status.Status) string {
	switch {
	case s.Draining && s.Accepts:
		return "not ready"
	case s.Draining:
		return "draining"
	case !s.Ready:
		return "not ready"
	case isFull(s):
		return "full"
	}
	return "ready"
}

// loadOf says what an address has. The words are short, because they stand in a box.
func loadOf(sessions, handshakes int) string {
	if handshakes == 0 {
		return counted(sessions, "session", "sessions")
	}
	return count(sessions) + " open, " + count(handshakes) + " opening"
}

func pipeClass(u status.Upstream) string {
	switch {
	case u.State == proxy.TargetDown || u.State == proxy.TargetDraining:
		return string(u.State)
	case u.Sessions > 0:
		return "flows"
	}
	return "quiet"
}

func restOf(rest []status.Upstream) box {
	sessions, handshakes, up, what := 0, 0, 0, "addresses"
	for _, u := range rest {
		if u.Address == "" {
			what = "upstreams"
		}
		sessions += u.Sessions
		handshakes += u.Handshakes
		if u.State == proxy.TargetUp {
			up++
		}
	}
	return box{Class: "target", Title: count(len(rest)) + " more " + what, Sub: loadOf(sessions, handshakes) + " · " + count(up) + " up"}
}

// at puts a box at a place, and its lines inside.
func (b box) at(x, y, w, h float64) box {
	b.X, b.Y, b.W, b.H, b.Middle = x, y, w, h, x+w/2
	middle := y + h/2
	if b.Figure == "" {
		b.T, b.S = middle-5, middle+16
		return b
	}
	b.T, b.F, b.S = middle-26, middle+9, middle+33
	return b
}

// wide draws from left to right.
func wide(c scene) picture {
	const (
		width, boxWidth, legWidth = 1080.0, 180.0, 195.0
		tall, targetHeight, gap   = 112.0, 58.0, 14.0
		targetWidth, fan          = 240.0, 90.0
	)
	n := float64(max(1, len(c.targets)))
	height := max(tall+16, n*(targetHeight+gap)-gap+4)
	p := picture{Class: "wide", W: width, H: height, Label: c.label}
	middle := height / 2
	p.Boxes = append(p.Boxes,
		c.boxes[0].at(2, middle-tall/2, boxWidth, tall),
		c.boxes[1].at(2+boxWidth+legWidth, middle-tall/2, boxWidth, tall))
	p.leg(2+boxWidth, middle, legWidth, "client", c.client, c.client.class)
	trunk := 2*boxWidth + legWidth + 2
	p.leg(trunk, middle, legWidth, "upstream", c.upstream, c.upstream.class)
	top := (height - n*(targetHeight+gap) + gap) / 2
	x := trunk + legWidth
	for i, t := range c.targets {
		y := top + float64(i)*(targetHeight+gap)
		to := width - targetWidth - 2
		p.Pipes = append(p.Pipes, pipe{curve(x, middle, to, y+targetHeight/2), c.pipes[i]})
		p.Boxes = append(p.Boxes, t.at(to, y, targetWidth, targetHeight))
	}
	return p
}

// leg draws one leg from left to right, with what goes each way above and below.
func (p *picture) leg(x, y, w float64, side string, t traffic, class string) {
	p.Pipes = append(p.Pipes, pipe{line(x, y, x+w, y), class})
	p.Pills = append(p.Pills, pillAt(x+w/2, y, side, t.rtt))
	p.Labels = append(p.Labels,
		label{x + w/2, y - 30, "middle", "→ " + t.to},
		label{x + w/2, y + 42, "middle", "← " + t.from})
}

// tall draws from top to bottom.
func tall(c scene) picture {
	const (
		width, boxHeight, legHeight = 360.0, 100.0, 84.0
		targetHeight, gap           = 58.0, 12.0
	)
	p := picture{Class: "tall", W: width, Label: c.label}
	y := 2.0
	for i, t := range []traffic{c.client, c.upstream} {
		p.Boxes = append(p.Boxes, c.boxes[i].at(width/2-100, y, 200, boxHeight))
		y += boxHeight
		p.Pipes = append(p.Pipes, pipe{line(width/2, y, width/2, y+legHeight), t.class})
		p.Pills = append(p.Pills, pillAt(width/2, y+legHeight/2, sideOf(i), t.rtt))
		p.Labels = append(p.Labels,
			label{width/2 - 62, y + legHeight/2 + 5, "end", "↓ " + t.to},
			label{width/2 + 62, y + legHeight/2 + 5, "start", "↑ " + t.from})
		y += legHeight
	}
	for _, t := range c.targets {
		p.Boxes = append(p.Boxes, t.at(width/2-150, y, 300, targetHeight))
		y += targetHeight + gap
	}
	p.H = y - gap + 2
	return p
}

func sideOf(i int) string { return []string{"client", "upstream"}[i] }

func pillAt(x, y float64, side, text string) pill {
	w := 46 + 9*float64(len([]rune(text)))
	left := x - w/2
	return pill{X: left, Y: y - 14, W: w, Mark: left + 11, Line: y, TextX: left + 37, TextY: y + 5, Side: side, Text: text}
}

// line is the path of a straight pipe.
func line(x1, y1, x2, y2 float64) string { return fmt.Sprintf("M%g %gL%g %g", x1, y1, x2, y2) }

// curve is the path of a pipe that fans out.
func curve(x1, y1, x2, y2 float64) string {
	middle := (x1 + x2) / 2
	return fmt.Sprintf("M%g %gC%g %g %g %g %g %g", x1, y1, middle, y1, middle, y2, x2, y2)
}
