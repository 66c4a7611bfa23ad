'use strict';

// A client on the ws library, driven by commands.

const { randomBytes } = require('node:crypto');
const http = require('node:http');
const https = require('node:https');
const WebSocket = require('ws');
const { emit, emitClosed, onCommand, sendInFragments, tlsOptions, tlsState } = require('./peer');

const clients = new Map();

function connect({ id, url, protocols, deflate, tls }, kept = {}) {
  const { agent } = kept;
  const ws = new WebSocket(url, protocols || [], { perMessageDeflate: Boolean(deflate), agent, ...tlsOptions(tls) });
  clients.set(id, ws);
  ws.on('upgrade', ({ socket }) => {
    const reused = socket === kept.socket;
    const state = tlsState(socket);
    ws.on('open', () => {
      const { protocol, extensions } = ws;
      emit('open', { id, protocol, extensions, reused, ...state });
    });
  });
  ws.on('pong', (payload) => emit('pong', { id, payload: payload.toString() }));
  ws.on('unexpected-response', (request, response) => {
    request.destroy();
    emit('refused', { id, status: response.statusCode });
  });
  emitClosed(ws, id);
}

const run = {
  // One connection carries the plain request for a page and then the session.
  connect(command) {
    if (!command.after) {
      connect(command);
      return;
    }
    const secure = command.url.startsWith('wss:');
    const { Agent, get } = secure ? https : http;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const page = new URL(command.after, command.url.replace(/^ws/, 'http'));
    get(page, { agent, ...tlsOptions(command.tls) }, (response) => {
      emit('page', { id: command.id, status: response.statusCode });
      const { socket } = response;
      // The connection is free for the next in the turn after the answer's end.
      response.resume().on('close', () => setImmediate(connect, command, { agent, socket }));
    });
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
