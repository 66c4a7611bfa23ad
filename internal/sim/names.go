package main

import (
	"fmt"
	"slices"
)

var kindNames = [kinds]string{"says", "says in parts", "drags a message out", "begins a frame", "pings", "pongs", "pings 200 times", "floods", "closes",
	"violates", "closes and raves", "closes and resets", "stops", "freezes inside a frame", "freezes", "vanishes", "ends its direction", "closes TCP", "resets",
	"asks", "spells", "hints", "volunteers an answer", "hangs behind its library"}

func (k Kind) String() string { return kindNames[k] }

var openingNames = [openings]string{"its handshake goes well", "it says nothing", "its request never ends", "its request is wrong", "it asks for a page", "it leaves early",
	"the service is silent", "the service's 101 is wrong", "the service babbles", "the service refuses", "the service leaves", "the service resets"}

func (o Opening) String() string { return openingNames[o] }

var replyNames = [replies]string{"by the ping's pong", "by an empty pong", "by a message", "never"}

func (r Reply) String() string { return replyNames[r] }

var illNames = [ills]string{"refuses connections", "crashes", "answers no connect", "hangs", "moves", "is drained"}

func (i Ill) String() string { return illNames[i] }

var appReplyNames = [appReplies]string{"always", "now and then", "never", "twice", "in parts"}

func (r AppReply) String() string { return appReplyNames[r] }

// A plan that is kept as data has names in it, so that it can be read, and stays what it
// is when values are added.

func (k Kind) MarshalText() ([]byte, error)         { return []byte(k.String()), nil }
func (o Opening) MarshalText() ([]byte, error)      { return []byte(o.String()), nil }
func (r Reply) MarshalText() ([]byte, error)        { return []byte(r.String()), nil }
func (i Ill) MarshalText() ([]byte, error)          { return []byte(i.String()), nil }
func (r AppReply) MarshalText() ([]byte, error)     { return []byte(r.String()), nil }
func (r *AppReply) UnmarshalText(name []byte) error { return named(r, appReplyNames[:], string(name)) }
func (i *Ill) UnmarshalText(name []byte) error      { return named(i, illNames[:], string(name)) }
func (k *Kind) UnmarshalText(name []byte) error     { return named(k, kindNames[:], string(name)) }
func (o *Opening) UnmarshalText(name []byte) error  { return named(o, openingNames[:], string(name)) }
func (r *Reply) UnmarshalText(name []byte) error    { return named(r, replyNames[:], string(name)) }

func named[T ~uint8](value *T, names []string, name string) error {
	i := slices.Index(names, name)
	if i < 0 {
		return fmt.Errorf("nothing is called %q", name)
	}
	*value = T(i)
	return nil
}
