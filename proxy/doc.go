// Package proxy pipes WebSocket frames between clients and an upstream. It keeps both
// connections of each session alive, and closes both together.
//
// A session has two legs, client and upstream. The program at the far end of a leg is the
// leg's peer. A session belongs to one loop, and only that loop's goroutine touches it,
// from accept to end. So no lock is taken on the path of a frame, and an idle session
// costs no goroutine, no timer object and no buffer. Only the loop reads the clock for
// its sessions; the code that the loop calls gets the time as an argument.
//
// # The map
//
// Each path below is in call order, file by file.
//
// A handshake. accept.go listens (unixsocket.go), accepts the client's connection, takes a
// seat of the client's address for it (seat.go, internal/peraddress) and chooses its loop.
// steps.go lists the states of a handshake: what each state waits for, and what the loop
// does then. opening.go reads the PROXY protocol header (internal/preface), starts the TLS
// handshake beside the loop (tls.go, internal/secure) and collects the request head. It
// checks the request (internal/upgrade) and finds out who sent it (internal/forwarded).
// dial.go goes from target to target, as internal/backend says (Route): a target is one
// address of an upstream. In queue.go the handshake waits for a place in the target's
// queue. Learn decides what the outcome of a dial says about the target. ask.go sends a
// rebuilt request, whose path begins with the upstream's (prefix.go). answer.go collects
// the answer;
// probe.go collects it, and the frames behind it, for a caller that tries an upstream out.
// A checked 101 opens the session (open.go). Any other final answer goes to relay.go, which
// passes it on and closes both connections. refuse.go sends the proxy's own refusals.
// log.go writes all lines about sessions and handshakes; clients can cause the latter, so
// they are rationed (internal/ration).
//
// A request that is not an upgrade. pages.go gives the connection to net/http
// (internal/web), and takes it back if an upgrade request follows on it (rejoin). The
// request goes from target to target in the same way. It waits in the same queues
// (awaitPlace) and dials by the same rules, but beside the loop (Connect).
//
// The fields of a head, on either path. The table of internal/field says for each field
// whether it is passed on, who states it and who may set it. headers.go parses the
// operator's own fields by that table. origins.go parses the list of pages that may open
// sessions (internal/origins).
//
// A frame. wait.go waits for events in run (internal/epoll): it loiters while the loop is
// busy and parks when the loop is not. loop.go hands each event to its session (turn,
// dispatch), which table.go finds. pump.go reads once (readable), walks the frames'
// headers with internal/frame (take), and writes the data frames to the other leg in one
// run (passOn, send). What the socket does not take becomes the leg's tail (tail.go). The
// other leg is not read (watch) until the tail is written (writable). A client may have a
// pace (pace.go): then a read takes no more than there are tokens for (bucket.go), and a
// client without tokens is not read for a moment. What only some sessions have is in
// extras.go, beside the session.
//
// A message of an application. If there are rules for one, take stops at small text messages
// and asks judgeMessage (apps.go), which compares each with the rules (internal/message). A
// message that matches is taken out of the run. One that may still match is held back with
// what comes behind it (leg.held).
//
// A control frame. take cuts it out of the run, and control.go decides what it means.
// inject.go writes the proxy's own frames: at gaps only (flush), which are the ends of
// messages, or of frames if a message lasts too long (leg.gap); and masked towards the
// upstream.
//
// A heartbeat. The wheel calls alarm in deadlines.go. expireLive asks each leg's
// heartbeat.State what is due (judgeLeg, beat). flush and injectPing write a ping; take and
// control handle its pong. If the pong is late, delivery.go asks the kernel whether the
// ping has arrived (internal/socket). absence.go gives time again to a peer whose bytes
// lay unread while the loop was away. A missed deadline ends the session.
//
// An application's heartbeat. beatApp (apps.go) does for it what beat does for pings, and
// injectTexts writes its messages and the answers to a peer's. extras.go keeps its state
// beside the session, if the configuration asks for it.
//
// An end. close.go latches the first cause (latch), and how long each peer had been silent
// (silence.go). farewell.go says what each leg is told. settle moves both legs on until
// their connections are closed. overdue ends a leg whose time is up, and wasted ends a leg
// whose peer floods. finish is the one exit: it makes an Ended (ended.go), counts it, logs
// it and hands it on. leg.go has the fields and the states of a leg. session.go has those
// of a session, and shows how a session comes to a loop and leaves it (admit, detach,
// release).
//
// A stop. shutdown.go has the steps of a drain: it makes every loop drain, waits, and cuts
// what is left. Drain leaves the listener open, and Shutdown closes it. drain.go says what
// a loop does in a drain, of the whole server or of one upstream (targets.go). server.go
// makes and runs the loops. room.go counts the clients and limits how many there are at
// once: inside, with a permit for a session, and in the lobby of those that are being
// refused. descriptors.go says what the descriptors allow.
//
// What operators ask of single sessions. sessions.go gives each loop one job for a slice of
// its table, and the next one when that is done (onSlices): to list sessions (listing.go),
// or to find one and end it.
//
// A panic. panic.go ends the session, the client or the job that the loop was busy with
// (serve, recovers), and continues the turn (complete). audit.go then holds what the loop
// counts against what it holds (examine). A panic beside the loops ends its job
// (holdfast/internal/panics).
//
// Beside the loops run TLS handshakes, lookups, refusals that are passed on, and requests
// that are not upgrades. internal/backend checks whether the targets work, and looks names
// up again. trim.go gives back the memory that a storm of handshakes left behind.
//
// The world outside. seams.go says what a loop needs from the kernel, a connection, the
// clock, the server of pages, and the jobs beside it. kernel_linux.go, world_linux.go and random.go are the
// real kernel, clock and source of random bytes; tests replace them. hermetic.go gives the
// same seams to the simulation in internal/sim, which asks audit.go after every turn.
//
// # Where to begin
//
// With a close code, or a reason for an end: farewell.go has what each leg is told by
// reason, config.go the codes that operators set, close.go what a cause is. The package
// holdfast/metrics has the reasons and which side may have which (labels.go), the
// counters of a loop (loop.go), and all series (collect.go). What a leg does is counted
// in pump.go.
//
// With a rule of a handshake: internal/upgrade has one function for each rule (offer.go
// for the request, answer.go for the 101). A limit is a field of Config; opening.go and
// answer.go apply it while a head comes in.
//
// With a deadline: deadlines.go. due says when each deadline is, and expire what happens
// then.
//
// With a transport: seams.go says what it must do, bare_linux.go and internal/secure are
// the two that there are, and kernel_linux.go makes them.
//
// With a rule that chooses among targets: internal/backend/balance.go. With what makes a
// target up or down: internal/backend/health.go. targets.go has what operators are told of
// targets, and do with them.
//
// With a variable: internal/config/config.go has one tagged field for each, and
// internal/config/proxy.go makes the Config of this package from them. With an endpoint
// of the admin listener: internal/admin/routes.go.
//
// With a test: CONTRIBUTING.md says which kind goes where. *_stage_test.go turns one loop
// by invented time over socket pairs (stage_test.go), *_lives_test.go over an invented
// kernel (world_test.go), and *_rig_test.go runs a whole Server on real sockets
// (rig_test.go). e2e and faults run the binary.
//
// # Who owns what
//
// A loop owns its poller, its wheel, its tails and the sessions in its table. Other
// goroutines post jobs to it (inbox.go). The first loop owns the listener. The
// targets are shared: they have atomics, and mutexes that only handshakes, checks and
// requests for pages take.
// Each loop has metrics counters of its own. They are atomics, because scrapes read them,
// and because a relay's goroutine counts how its handshake ended.
//
// # What is bounded by what
//
// A leg's tail holds at most one read and the control frames that fell due inside it. If
// there are messages of applications, it holds as much more as extraRoom says. TLS adds
// one record of ciphertext. A handshake holds one head for each side. Head and what came
// behind it together are at most as long as a head may be. Less than 140 bytes of an
// incomplete header or control frame are held back, and at most frame.MaxHeld bytes if
// messages of applications are looked at. At most one pong waits for a frame boundary.
// Once maxAnswers bytes of answers wait for the end of a message, there are no more. A
// frame's length is a counter and never the size of an allocation; that of a message,
// the payloads of its frames added up, is one too. Both may have a limit (frame.Limits).
// A client with a pace is read no faster than that and one second's worth; a TLS record
// may bring more, for which the client is then read later. In a queue (queue.go) each
// waiting client has one entry; the entries of those who have left are swept out before
// they outnumber the others. At most pagesQueued requests for pages wait, because each
// of them has a goroutine. A lookup is shared by all who wait for it, and drops a waiter
// that gives up.
package proxy
