// Package kernel invents what the proxy asks of Linux: descriptors, epoll, and the
// connections of TCP and of unix sockets. Time is the caller's, nothing runs beside the
// caller, and the same calls give the same results.
package kernel
