package main

import (
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/proxy"
)

// AppKnobs are what the proxy says to one peer's application, and what it takes and answers
// of it. The texts are those of the configuration, without escapes.
type AppKnobs struct {
	Ping     string
	Interval time.Duration
	Pong     string
	Answers  string
}

// reads reports whether the messages of the peer are looked at.
func (k *AppKnobs) reads() bool { return k.Pong != "" || k.Answers != "" }

// app returns how the proxy is configured towards a side.
func (k *Knobs) app(side proxy.Side) *AppKnobs {
	if side == client {
		return &k.ClientApp
	}
	return &k.ServiceApp
}

// config returns the same as the proxy is told it.
func (k *AppKnobs) config() (app proxy.App) {
	app = proxy.App{Ping: k.Ping, Interval: k.Interval}
	if k.Pong != "" {
		pong, err := proxy.ParseAppPong(k.Pong)
		if err != nil {
			panic(err) // the texts are ours
		}
		app.Pong = &pong
	}
	if k.Answers != "" {
		answers, err := proxy.ParseAppAnswers(k.Answers)
		if err != nil {
			panic(err)
		}
		app.Answers = answers
	}
	return app
}

// A rule says what the proxy does with a message that asked is about.
type rule struct{ asked, answer string }

// rules are those of Answers.
func (k *AppKnobs) rules() (all []rule) {
	if k.Answers == "" {
		return nil
	}
	for text := range strings.SplitSeq(k.Answers, ";;") {
		asked, answer, _ := strings.Cut(text, "=>")
		all = append(all, rule{asked, answer})
	}
	return all
}

// mostLooked is how many bytes a message may have that the proxy looks at, the headers of
// its frames included.
const mostLooked = 1024 + 8

const wildcard = "*"

// matches reports whether a pattern is about a message, and what stands for its wildcard.
func matches(pattern, text string) (wild string, ok bool) {
	before, after, isWild := strings.Cut(pattern, wildcard)
	if !isWild {
		return "", text == pattern
	}
	if len(text) < len(before)+len(after) || !strings.HasPrefix(text, before) || !strings.HasSuffix(text, after) {
		return "", false
	}
	wild = text[len(before) : len(text)-len(after)]
	return wild, utf8.ValidString(wild)
}

// mayMatch reports whether a pattern is about any message that begins so.
func mayMatch(pattern, beginning string) bool {
	before, _, isWild := strings.Cut(pattern, wildcard)
	if len(beginning) <= len(before) {
		return strings.HasPrefix(before, beginning)
	}
	rest, ok := strings.CutPrefix(beginning, before)
	return isWild && ok && utf8.ValidString(wholeRunes(rest))
}

// wholeRunes is text without the part of a character that it ends with, if there is one.
func wholeRunes(text string) string {
	for i := max(0, len(text)-3); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRuneInString(text[i:]) {
			return text[:i]
		}
	}
	return text
}

// mayMatch reports whether a message that begins so can be one that the proxy takes.
func (k *AppKnobs) mayMatch(beginning string) bool {
	if k.Pong != "" && mayMatch(k.Pong, beginning) {
		return true
	}
	for _, r := range k.rules() {
		if mayMatch(r.asked, beginning) {
			return true
		}
	}
	return false
}

// fill puts a text in the place of a pattern's wildcard.
func fill(pattern, wild string) string { return strings.Replace(pattern, wildcard, wild, 1) }

// The texts of plans. No peer says what the proxy says on its own, and no text of APP_PONG
// is one that a rule is about.
var (
	appPings   = []string{"app ping", `{"op":"ping","pad":"` + strings.Repeat("p", 900) + `"}`}
	appPongs   = []string{"app pong", "app pong *", "app * pong"}
	appAnswers = []string{"are you there?=>yes", "id *?=>id *!", "noise*=>", "are you there?=>yes;;id *?=>id *!;;noise*=>", "idle=>;;id*=>*!"}
)

// drawsApps draws messages that the proxy knows, and peers that send them.
func (p *Plan) drawsApps(rnd *rand.Rand) {
	if rnd.IntN(3) > 0 {
		return
	}
	k := &p.Knobs
	k.ClientApp, k.ServiceApp = appKnobs(rnd), appKnobs(rnd)
	for i := range p.Sessions {
		for _, a := range p.Sessions[i].actors() {
			a.App = AppReply(rnd.IntN(int(appReplies)))
			if rnd.IntN(2) == 0 {
				a.App = Obliges
			}
			a.AppAfter = oneOf(rnd, 0, 0, 300*time.Millisecond, k.Timeout/2, k.Timeout*3/2)
			for range rnd.IntN(6) {
				a.insert(rnd, appAction(rnd))
			}
		}
	}
	if rnd.IntN(8) == 0 {
		p.drawsHang(rnd)
	}
}

func appKnobs(rnd *rand.Rand) (k AppKnobs) {
	k.Answers = oneOf(rnd, append([]string{"", ""}, appAnswers...)...)
	k.Interval = oneOf(rnd, 2*time.Second, 5*time.Second, 20*time.Second)
	if rnd.IntN(3) > 0 {
		k.Ping = appPings[min(1, rnd.IntN(5)/4)]
	}
	if k.Ping != "" && rnd.IntN(4) > 0 || rnd.IntN(8) == 0 {
		k.Pong = oneOf(rnd, appPongs...)
	}
	return k
}

func appAction(rnd *rand.Rand) Action {
	do := Action{
		After: spread(rnd, oneOf(rnd, time.Millisecond, time.Second, 10*time.Second)),
		Kind:  oneOf(rnd, Asks, Asks, Asks, Spells, Spells, Spells, Volunteers),
		Size:  rnd.IntN(1 << 12),
	}
	if rnd.IntN(10) == 0 {
		do.Kind = oneOf(rnd, Hints, Dulls)
	}
	return do
}

// drawsHang draws a program that hangs, or one whose answers lie unread because the other peer
// has stopped. Nothing else is in the way of the one conversation.
func (p *Plan) drawsHang(rnd *rand.Rand) {
	k, c, side := &p.Knobs, &p.Sessions[0], rnd.IntN(2)
	a, other := c.actors()[side], c.actors()[1-side]
	p.Stop, p.Drain, p.Sessions, p.Troubles = 0, Drain{}, p.Sessions[:1], nil
	p.Faults.Stalls, p.Faults.Stopped, p.Faults.Poller, p.Faults.Short, p.Faults.Again = 0, 0, 0, 0, 0
	k.Idle, k.Oldest, k.Timeout = 0, 0, oneOf(rnd, 3*time.Second, 10*time.Second)
	app := k.app(proxy.Side(side))
	app.Ping, app.Interval, app.Pong = appPings[0], 2*time.Second, appPongs[0]
	c.Opening, c.Operator = Opens, 0
	a.App, a.AppAfter, a.Rate, a.Heap = Obliges, 0, 0, 0
	other.Rate, other.Heap, other.Does = 0, 0, nil
	after := 5*time.Second + spread(rnd, 5*time.Second)
	if rnd.IntN(2) == 0 {
		a.Does = []Action{{After: after, Kind: Dulls}}
		return
	}
	k.Write = 30 * time.Second
	a.Does = []Action{{After: after, Kind: Floods, Size: 400_000}}
	other.Does = []Action{{After: after - time.Second, Kind: Stops, Size: 25_000}}
}

// insert puts an action among those of an actor.
func (a *Actor) insert(rnd *rand.Rand, do Action) {
	at := rnd.IntN(len(a.Does) + 1)
	a.Does = append(a.Does[:at:at], append([]Action{do}, a.Does[at:]...)...)
}

// An AppReply is how a peer's application answers a ping of the proxy's.
type AppReply uint8

const (
	Obliges  AppReply = iota // with the message that it is to send
	Wavers                   // now and then
	Ignores                  // never
	Doubles                  // twice
	Stutters                 // with a message of several frames
	appReplies
)
