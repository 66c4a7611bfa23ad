'use strict';

// An echo server on the ws library that never pings: a legacy service.

const { WebSocketServer } = require('ws');
const { emit, emitClosed, onCommand, sendInFragments } = require('./peer');

const options = JSON.parse(process.argv[2]);
const sessions = new Map();

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: Boolean(options.deflate),
  autoPong: !options.mute,
  handleProtocols: (offered) => (options.protocols || []).find((p) => offered.has(p)) || false,
});

server.on('listening', () => emit('listening', { port: server.address().port }));

server.on('connection', (ws, request) => {
  const id = request.url.split('/').pop();
  sessions.set(id, ws);
  emit('open', { id, protocol: ws.protocol, extensions: ws.extensions });
  emitClosed(ws, id);
  ws.on('ping', (payload) => emit('ping', { id, payload: payload.toString('latin1') }));
  ws.on('message', (message, binary) => sendInFragments(ws, message, binary, options.fragments || 1));
});

// Without a code ws sends an empty Close.
onCommand(({ id, code, reason }) => sessions.get(id).close(code, reason));
