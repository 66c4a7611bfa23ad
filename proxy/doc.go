// Package proxy pipes WebSocket frames between clients and an upstream, keeps both
// connections of each session alive, and tears both down together.
//
// A session has two legs, client and upstream; who sits at a leg's far end is its
// peer. A session is owned by one loop, and only that loop's goroutine touches it,
// from accept to end: there are no locks on the path of a frame, and an idle session
// costs no goroutine, no timer object and no buffer. Time is what the loop says it
// is; nothing below it looks at a clock.
//
// # The map
//
// Each path below is in call order, file by file.
//
// A handshake: accept.go listens (unixsocket.go) and takes the client's connection,
// which gets a seat among those of its address (seat.go, internal/peraddress), and
// places it on a loop. steps.go lists what a handshake waits for in each of its
// states, and what it does then. opening.go reads who it is (internal/preface), has
// TLS done beside the loop (tls.go, internal/secure), collects the request head,
// decides on it by internal/upgrade and learns whom it is from (internal/forwarded).
// Then it picks the backend that the request goes to (internal/backend: Pick).
// queue.go has it wait for its turn. dial.go finds the backend's addresses (Lookup)
// and dials one after another (Dial); what the outcome means for the backend is said
// by Learn. ask.go sends a rebuilt request, whose target stands behind the backend's
// path (prefix.go), and answer.go collects the answer. A checked 101 makes it a session
// (open.go); any other final answer goes to relay.go, which passes it on and closes both
// sockets. What the proxy itself has to refuse is in refuse.go.
//
// A request that is not an upgrade: pages.go gives the connection to net/http
// (internal/web), and takes it back if an upgrade follows on it (rejoin). The
// request's backend is picked in the same way. The request waits in the same queue
// (awaitPlace) and dials like a handshake, but beside the loop (Connect).
//
// A field of a head, on either path: whether it passes, who states it and who may set it
// stands in the table of internal/field. headers.go reads the operator's own fields by
// it. origins.go reads the list of pages that may open sessions (internal/origins).
//
// A frame: wait.go waits in run (internal/epoll: it loiters while the loop is busy
// and is parked while it is not), and loop.go hands each event to its session (turn,
// dispatch; table.go finds it). pump.go reads once (readable), walks the frames'
// headers with internal/frame (take), and writes data to the other leg in one run
// (passOn, send). What that socket does not take becomes its tail (tail.go), and
// until the tail is gone (writable) the first leg is not read (watch).
//
// A control frame is cut out of the run in take; control.go decides what it means,
// and inject.go writes frames of our own: at frame boundaries only (flush), masked
// towards the upstream.
//
// A heartbeat: the wheel calls alarm in deadlines.go; expireLive asks each leg's
// heartbeat.State what is due (judgeLeg, beat). A ping leaves by flush and
// injectPing, its answer comes back by take and control. If it is late, delivery.go
// asks the kernel whether the ping has arrived (internal/socket); a missed deadline
// is an end.
//
// An end: close.go. The first cause is latched (latch); farewell.go says what either
// leg is told; settle moves both legs on until their descriptors are closed, overdue
// ends what takes too long, wasted what floods, and finish, the one exit, makes a
// value of it (ended.go), which is counted, logged and handed on. What a leg is made
// of, and which states it has, is in leg.go. session.go has the same for a session, and
// how a session comes to a loop and leaves it (admit, detach, release).
//
// A stop: shutdown.go drains every loop, waits, and cuts what is left. server.go makes
// and runs the loops; room.go counts clients and says how many there may be at once.
//
// Beside the loops: TLS handshakes, lookups, refusals passed on and requests that are
// not upgrades, as said; internal/backend probes a backend that is down; trim.go
// gives back the memory that a storm of handshakes left behind.
//
// The world outside: seams.go says what a loop asks of the kernel, of a connection, of
// the clock, and of those who work beside it. kernel_linux.go, clock_linux.go and
// random.go are the real kernel, clock and source of randomness; tests invent their own.
//
// # Who owns what
//
// A loop owns its poller, its wheel, its tails and the sessions in its table. Other
// goroutines give it jobs by post (inbox.go). The listener is the first loop's. A
// backend is shared, by atomics and by mutexes that only handshakes and requests for
// pages take. Metrics counters are written by their loop, and at the end of a
// passed-on refusal by its goroutine; scrapes read them.
//
// # What is bounded by what
//
// A leg's tail holds at most one read and the control frames that fell due inside it;
// TLS adds one record of ciphertext. Of a handshake one head is held for each side,
// and what came behind it up to the size that a head may have. What is held back of
// an incomplete header or control frame is under 140 bytes; one pong at the most
// waits for a frame boundary. A frame's length is a counter and never the size of an
// allocation. In a queue (queue.go) there are at most twice as many as wait there,
// each with a connection of its own; requests for pages, which have goroutines, are
// pagesQueued at the most. A lookup is shared by all who wait for it, and forgets who
// waits no longer.
package proxy
