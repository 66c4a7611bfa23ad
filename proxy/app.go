package proxy

import "holdfast/proxy/internal/message"

// An AppPattern matches text messages of a peer.
type AppPattern = message.Pattern

// An AppAnswer is a rule by which the proxy answers a text message of a peer itself.
type AppAnswer = message.Answer

// AppRuleError says what is wrong with one of several rules.
type AppRuleError = message.RuleError

// ParseAppPing parses a text for App.Ping. The text of an error continues a sentence that
// begins with the parsed text. So do those of ParseAppPong and ParseAppAnswers.
func ParseAppPing(text string) (string, error) { return message.ParseText(text) }

// AppLacksQuotes reports whether a text looks like JSON out of which a shell has taken the
// quotes.
func AppLacksQuotes(text string) bool { return message.LacksQuotes(text) }

// ParseAppPong parses a pattern for App.Pong.
func ParseAppPong(text string) (AppPattern, error) { return message.ParsePattern(text) }

// ParseAppAnswers parses the rules for App.Answers. The error joins one for
// each wrong rule: an *AppRuleError if there are several rules.
func ParseAppAnswers(text string) ([]AppAnswer, error) { return message.ParseAnswers(text) }
