'use strict';

// An echo server on socket.io, with its defaults but for the size of a message.
// A session is called what its query says.

const { Server } = require('socket.io');
const { emit, listen, onCommand } = require('./peer');

const io = new Server(listen({}), { maxHttpBufferSize: 1 << 26 });

io.engine.on('connection', (conn) => {
  const { id } = conn.request._query;
  emit('open', { id, transport: conn.transport.name });
  conn.on('upgrade', (transport) => emit('upgraded', { id, transport: transport.name }));
});

io.on('connection', (socket) => {
  const { id } = socket.handshake.query;
  emit('connected', { id });
  socket.on('echo', (message, back) => back(message));
  socket.on('disconnect', (reason) => emit('closed', { id, reason }));
});

// It is told nothing, and ends with the test.
onCommand(() => {});
