package proxy

// HandshakesAtOnce is for the tests of the proxy from outside.
const HandshakesAtOnce = handshakesAtOnce
