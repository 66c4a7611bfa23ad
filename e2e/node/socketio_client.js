'use strict';

// A client on socket.io, driven by commands.

const { randomBytes } = require('node:crypto');
const { Agent } = require('node:http');
const { io } = require('socket.io-client');
const { emit, onCommand, tlsOptions } = require('./peer');

const clients = new Map();

const run = {
  connect({ id, url, transports, tls, from, cookie }) {
    const socket = io(new URL(url.replace(/^ws/, 'http')).origin, {
      query: { id },
      transports,
      reconnection: false,
      forceNew: true,
      ...(from && { agent: new Agent({ localAddress: from }) }),
      ...(cookie && { extraHeaders: { cookie } }),
      ...tlsOptions(tls),
    });
    clients.set(id, socket);
    socket.io.on('open', () => {
      const { engine } = socket.io;
      emit('open', { id, transport: engine.transport.name });
      engine.on('upgrade', (transport) => emit('upgraded', { id, transport: transport.name }));
    });
    socket.on('connect', () => emit('connected', { id }));
    // Of a polling request that was answered, the description is the status.
    socket.on('connect_error', (error) => emit('refused', { id, status: error.description }));
    socket.on('disconnect', (reason) => emit('closed', { id, reason }));
  },

  echo({ id, type, size }) {
    const sent = type === 'binary' ? randomBytes(size) : randomBytes(size / 2).toString('hex');
    clients.get(id).emit('echo', sent, (message) => {
      emit('echoed', { id, same: Buffer.compare(Buffer.from(message), Buffer.from(sent)) === 0 });
    });
  },

  close({ id }) {
    clients.get(id).close();
  },
};

onCommand((command) => run[command.do](command));
