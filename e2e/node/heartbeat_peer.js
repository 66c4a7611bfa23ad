'use strict';

// What clients and servers with heartbeats of their own share.

const WebSocket = require('ws');

// A session is called kept if it goes through the proxy, and bare if it does not. Its URL has
// the name.
function nameOf(url) {
  return /kept|bare/.exec(url)[0];
}

// A socket whose program may hang: then the library lives and answers pings, and no message
// reaches the program.
class Hearing extends WebSocket {
  deaf = false;

  emit(event, ...rest) {
    return this.deaf && event === 'message' ? true : super.emit(event, ...rest);
  }
}

module.exports = { Hearing, nameOf };
