package config

import (
	"fmt"
	"strings"
	"time"

	"holdfast/proxy"
)

func parseAppPing(value string) (appPing, error) {
	text, err := proxy.ParseAppPing(value)
	return appPing(text), err
}

func parseAppAnswers(value string) (appAnswers, error) { return proxy.ParseAppAnswers(value) }

// app returns what the proxy exchanges with the applications on a leg.
func app(ping appPing, interval time.Duration, pong *proxy.AppPattern, answers appAnswers) proxy.App {
	if ping == "" {
		interval = 0
	}
	return proxy.App{Ping: string(ping), Interval: interval, Pong: pong, Answers: answers}
}

// appFields are the fields of Config about the messages of one leg.
type appFields struct {
	ping     *appPing
	interval *time.Duration
	pong     **proxy.AppPattern
	answers  *appAnswers
}

// appLegs returns the fields of the two legs.
func (c *Config) appLegs() []appFields {
	return []appFields{
		{&c.ClientAppPing, &c.ClientAppPingInterval, &c.ClientAppPong, &c.ClientAppAnswer},
		{&c.UpstreamAppPing, &c.UpstreamAppPingInterval, &c.UpstreamAppPong, &c.UpstreamAppAnswer},
	}
}

// applicationContradictions reports messages that would never be sent, and settings for
// messages that are not sent.
func (c *Config) applicationContradictions(s settings) (found Problems) {
	for _, leg := range c.appLegs() {
		ping, interval := c.nameOf(leg.ping), c.nameOf(leg.interval)
		needless := "has no effect without " + ping + "; set that too, or unset it"
		every, from := s.effective(variableNamed(interval))
		pause, err := parseDuration(every)
		switch isSet := s.giver(ping) != ""; {
		case isSet && err == nil && pause == 0 && from == interval:
			found = append(found, c.problem(s, leg.ping, "is never sent with "+interval+"=0; set an interval, or unset both"))
		case isSet && err == nil && pause == 0:
			found = append(found, c.problem(s, leg.ping, "is never sent, since "+interval+" has its 0 from "+from+"; set "+interval))
		case !isSet && from == interval:
			found = append(found, c.problem(s, leg.interval, needless))
		}
		if s.giver(ping) == "" && s.giver(c.nameOf(leg.pong)) != "" {
			found = append(found, c.problem(s, leg.pong, needless))
		}
	}
	return found
}

// applicationWarnings returns texts that lack quotes, and the rules that are for what also is
// an answer to a message of the proxy. While such an answer is owed, the peer's own message is taken for it, and the
// peer waits for its answer in vain. A rule that only swallows is not among them: it keeps
// surplus answers from the other peer.
func (c *Config) applicationWarnings() (found Problems) {
	for _, leg := range c.appLegs() {
		found = append(found, c.lacksQuotes(leg)...)
		for i, answer := range *leg.answers {
			if *leg.pong != nil && !answer.Swallows() && answer.Asked.Overlaps(*leg.pong) {
				pong, ping := c.nameOf(leg.pong), c.nameOf(leg.ping)
				found = append(found, Problem{c.nameOf(leg.answers), "", fmt.Sprintf(
					"has a rule, number %d, for messages that %s is for too: while %s waits for an answer, they count as that and get none; write texts that differ, if the peer has them",
					i+1, pong, ping)})
			}
		}
	}
	return found
}

// lacksQuotes returns the texts that look as if a reader of the settings had taken the quotes
// out of them. Each would be sent, or compared, as it is.
func (c *Config) lacksQuotes(leg appFields) (found Problems) {
	const reason = "looks like JSON without its quotes, which shells and Environment= of systemd take away; put the value in single quotes there"
	if proxy.AppLacksQuotes(string(*leg.ping)) {
		found = append(found, Problem{c.nameOf(leg.ping), string(*leg.ping), reason})
	}
	if *leg.pong != nil && (*leg.pong).LacksQuotes() {
		found = append(found, Problem{c.nameOf(leg.pong), "", reason})
	}
	for i := range *leg.answers {
		if (*leg.answers)[i].LacksQuotes() {
			found = append(found, Problem{c.nameOf(leg.answers), "", fmt.Sprintf("has a rule, number %d, that %s", i+1, reason)})
		}
	}
	return found
}

// Notes returns what follows from settings and is not at fault, as sentences.
func (c *Config) Notes() (notes []string) {
	var readers []string
	for _, leg := range c.appLegs() {
		if *leg.pong != nil {
			readers = append(readers, c.nameOf(leg.pong))
		}
		if *leg.answers != nil {
			readers = append(readers, c.nameOf(leg.answers))
		}
	}
	if len(readers) > 0 && !bool(c.Compression) {
		notes = append(notes, "permessage-deflate is not offered to the upstream, since compressed messages cannot be compared with the texts of "+inWords(readers))
	}
	return notes
}

// inWords joins names with commas and an and.
func inWords(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
