// Package kernel invents what the proxy asks of Linux: descriptors, epoll, and the
// connections of TCP and of unix sockets. Time is the caller's, nothing runs beside the
// caller, and the same calls give the same results.
//
// A Machine has the descriptors of one process (machine.go) and makes a Poller for each
// loop (poller.go), which is a proxy.Kernel. The process gets its connections from a
// Listener or by Connect (connect.go). Each has two ends, and both are a Socket
// (socket.go): the process's is a proxy.Transport, and the other is for the simulation's
// peer. A unix socket puts what is written into the other end (unix.go). TCP sends
// segments (tcp.go) along a Path in each direction (path.go), and they arrive when the
// caller has moved its clock to Machine.Next and calls Machine.Run. What the caller gives to
// Machine.After happens in the same order (events.go).
//
// # What is modelled
//
//	descriptors    the lowest free one is the next; EMFILE; a close removes registrations
//	epoll          level-triggered; EEXIST, ENOENT, EBADF; the order of the ready list
//	conditions     IN, OUT, RDHUP, HUP and ERR, as tcp_poll and unix_poll have them
//	buffers        of finite size at both ends; OUT comes back when a part is free
//	ends           FIN behind the data, half closes, a close with unread input
//	resets         ahead of what was not sent; ECONNREFUSED, ECONNRESET or EPIPE, told once
//	window         never taken back; closed by a reader that does not read; probes
//	loss           sent again after a wait that grows, 15 times; TCP_USER_TIMEOUT; orphans
//	asking         SIOCOUTQ, SIOCOUTQNSD, SIOCINQ and what TCP_INFO says of acknowledgements
//	connects       at once, later, refused, never answered, not even begun
//
// # What is not
//
//	congestion control, slow start   the proxy sees only when bytes are acknowledged; Path has
//	                                 latency, rate and stalls for that
//	reordered segments               TCP hides them; a gap shows in LastACKs, and what lies
//	                                 behind it is sent again
//	delayed acknowledgements         each segment is acknowledged at once; LastACKs and Unacked
//	                                 are the same some milliseconds later
//	MSG_MORE, Nagle                  segments may be cut anywhere, so every grouping occurs
//	overhead of buffers              they hold bytes; Linux counts memory, and how much fits
//	                                 is not known to any program
//	handshake of a client            Listener.Dial is the moment of its last segment
//	TCP keepalive probes             Socket.Fail stands for what they find
//	half close by SHUT_RD on TCP     nobody asks for it
//	urgent data, descriptors sent    nobody asks for it
//	EINTR                            package socket of the proxy handles it
//	edge-triggered epoll             nobody asks for it
//
// # How it is known
//
// The tests run the same calls on the model and on Linux and compare results, events and
// counts: linux_test.go along random scripts (FuzzKernelLikeLinux for longer ones),
// calls_test.go for ready lists, connects and clients in line. model_test.go has what
// only an invented clock can show.
package kernel
