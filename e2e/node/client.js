'use strict';

// A client on the ws library, driven by commands.

const { randomBytes } = require('node:crypto');
const WebSocket = require('ws');
const { emit, emitClosed, onCommand, sendInFragments } = require('./peer');

const clients = new Map();

const run = {
  connect({ id, url, protocols, deflate }) {
    const ws = new WebSocket(url, protocols || [], { perMessageDeflate: Boolean(deflate) });
    clients.set(id, ws);
    ws.on('open', () => emit('open', { id, protocol: ws.protocol, extensions: ws.extensions }));
    ws.on('pong', (payload) => emit('pong', { id, payload: payload.toString() }));
    ws.on('unexpected-response', (request, response) => {
      request.destroy();
      emit('refused', { id, status: response.statusCode });
    });
    emitClosed(ws, id);
  },

  echo({ id, type, size, fragments }) {
    const ws = clients.get(id);
    const binary = type === 'binary';
    const sent = binary ? randomBytes(size) : randomBytes(size / 2).toString('hex').slice(2) + 'ž';
    ws.once('message', (message, isBinary) => {
      const same = isBinary === binary && message.equals(Buffer.from(sent));
      emit('echoed', { id, same });
    });
    sendInFragments(ws, sent, binary, fragments || 1);
  },

  ping({ id, payload }) {
    clients.get(id).ping(payload);
  },

  // Without a code ws sends an empty Close.
  close({ id, code, reason }) {
    clients.get(id).close(code, reason);
  },
};

onCommand((command) => run[command.do](command));
