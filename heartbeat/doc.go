// Package heartbeat decides when a peer is pinged and when it is given up, and
// wakes thousands of such decisions at the right time. It is pure: time is an
// argument, there is no goroutine, no timer and no lock, and nothing is sent or
// received here.
//
// # The path through it
//
// A leg of a session owns one [State] and shares its [Rules] with its kin.
// [State.Open] schedules the first ping. The leg's owner files [State.Next] in
// a [Wheel], and when the wheel fires it calls [State.Advance]:
//
//   - Ping: a ping is wanted. The owner writes one at the next frame boundary,
//     which may be much later, and reports [State.Sent] once the kernel has it.
//   - Look: the answer is late. The owner finds out how far the ping has come, and
//     reports [State.Looked]. If that says Expired the peer missed its deadline,
//     and the owner ends the session.
//
// What comes from the peer is reported as [State.Heard], and each pong among it
// as [State.Pong] too. When the owner stops reading and goes on it says
// [State.Pause] and [State.Resume], and when the session begins to end,
// [State.Stop]. After any of these Next may have changed and belongs into the
// wheel again.
//
// # The rules
//
// They are those of the Python websockets library, see
// https://websockets.readthedocs.io/en/stable/topics/keepalive.html, on the
// ping and pong frames of RFC 6455, sections 5.5.2 and 5.5.3:
//
//   - The first ping is due one interval after opening, the next one interval
//     after the last one left. Beyond the library, a caller may have a ping leave
//     somewhat early, together with others.
//   - A ping is answered only by the echo of its payload, which answers all
//     pings before it as well: a peer may answer only the latest of several.
//   - The deadline runs from the moment the ping left. While it runs there is
//     no second ping; if the answer takes longer than an interval, the next
//     ping is due at the answer. Beyond the library, a ping that arrives late,
//     behind a long queue, has a whole timeout from its arrival ([Wait]).
//   - The round trip is measured between the same two moments, the ping's
//     leaving and its echo.
//   - Without a deadline pings go on at their interval, answered or not.
//
// Beyond the library: any byte may count as a sign of life ([AnyByte]); a
// deadline may wait until the peer has shown that it answers pings at all
// ([LearnPong]); a peer inside a frame cannot send a pong, so its progress puts
// the deadline off; and a peer whose bytes we leave unread cannot miss one.
//
// # What it is not for
//
// It bounds neither how long a wanted ping waits to be written nor how long a
// closing handshake takes, it does not answer the peer's own pings, and it does
// not keep what [LearnPong] learnt, which may be shared by many sessions: those
// are its caller's. The [Wheel] knows nothing of heartbeats and serves any timer
// of its caller.
package heartbeat
