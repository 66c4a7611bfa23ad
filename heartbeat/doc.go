// Package heartbeat decides when a peer is pinged and when it is given up, and
// wakes thousands of such decisions at the right time. It is pure: time is an
// argument, there is no goroutine, no timer and no lock, and nothing is sent or
// received here.
//
// # The path through it
//
// Each leg of a session owns one [State]. All legs of one kind share their [Rules].
// [State.Open] schedules the first ping. The leg's owner sets a timer of a [Wheel]
// to [State.Next]. When the timer fires, the owner calls [State.Advance], which
// returns:
//
//   - Ping: a ping is due. The owner writes it at the end of a message, which may be
//     later, and calls [State.Defer] then. If the message lasts too long, Advance returns
//     Ping again, and the owner writes the ping at the end of a frame ([State.Presses]).
//     The owner calls [State.Sent] once the kernel has the ping.
//   - Look: the answer is late. The owner asks the kernel how far the ping has come,
//     and calls [State.Looked]. If that returns Expired, the peer missed its deadline
//     and the owner ends the session.
//
// The owner calls [State.Heard] when bytes arrive from the peer, and [State.Pong] for
// each pong among them. It calls [State.Pause] when it stops reading, [State.Resume]
// when it reads again, and [State.Stop] when the session begins to end. Each of these
// calls may change Next, so the owner sets its timer again afterwards.
//
// # The rules
//
// The rules are those of the Python websockets library, see
// https://websockets.readthedocs.io/en/stable/topics/keepalive.html, for the ping
// and pong frames of RFC 6455, sections 5.5.2 and 5.5.3:
//
//   - The first ping is due one interval after opening. Each later one is due one
//     interval after the previous ping was sent.
//   - A pong answers the ping whose payload it echoes, and all pings before that one:
//     a peer may answer only the latest of several pings.
//   - The deadline runs from the moment the ping was sent. No second ping is sent
//     while it runs. If the answer takes longer than an interval, the next ping is
//     due when the answer arrives.
//   - The round trip is measured from the ping's sending to its echo.
//   - Without a deadline, a ping is sent at every interval, answered or not.
//
// The package has more than the library:
//
//   - The caller may send a ping early, together with others ([Grid]).
//   - A ping that arrives late, behind a long queue, has a whole timeout from its
//     arrival ([Wait]).
//   - Any byte may count as a sign of life, and a pong of any payload as an answer
//     ([AnyByte]).
//   - A payload is printable ASCII ([AppendPayload]).
//   - A ping waits for the end of a message, for a quarter of its interval at most
//     ([State.Defer]).
//   - A deadline may wait until the peer has answered a ping ([LearnPong]).
//   - An answer may not say which ping it answers ([State.Reply]): so messages of
//     applications have the same rules.
//   - A peer inside a frame cannot send a pong, so its progress extends the deadline.
//   - A peer whose bytes we do not read cannot miss a deadline.
//
// # What it is not for
//
// The caller has to limit how long a wanted ping waits to be written, and how long a
// closing handshake takes. The caller answers the peer's own pings. It also keeps what
// [LearnPong] learnt, since many sessions may share that. The [Wheel] does not depend
// on heartbeats and serves any timer of its caller.
package heartbeat
