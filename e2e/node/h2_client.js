'use strict';

// One session over HTTP/2 (RFC 8441), as a browser opens it where the server offers
// that. ws has no client for it: the handshake is made here, the frames by ws.

const http2 = require('http2');
const { Receiver, Sender } = require('ws');
const { emit, onCommand, tlsOptions } = require('./peer');

let sender;

function connect({ id, url, tls }) {
  const target = new URL(url.replace(/^ws/, 'http'));
  const connection = http2.connect(target, { ...tlsOptions(tls), ALPNProtocols: ['h2'] });
  connection.once('remoteSettings', ({ enableConnectProtocol }) => {
    emit('settings', { id, same: Boolean(enableConnectProtocol) });
    open(connection, id, target);
  });
}

function open(connection, id, { host, pathname }) {
  const stream = connection.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'https',
    ':authority': host,
    ':path': pathname,
    'sec-websocket-version': '13',
  });
  sender = new Sender(stream);
  const receiver = new Receiver({ isServer: false });
  receiver.on('ping', (payload) => sender.pong(payload, true));
  receiver.on('message', (message) => emit('said', { id, payload: message.toString() }));
  receiver.on('conclude', (code, reason) => {
    emit('closed', { id, code, reason: reason.toString() });
    connection.close();
  });
  stream.on('response', (headers) => emit('open', { id, status: headers[':status'] }));
  stream.pipe(receiver);
}

const run = {
  connect,

  say({ payload }) {
    sender.send(payload, { fin: true, mask: true, binary: false, compress: false });
  },

  close({ code, reason }) {
    sender.close(code, reason, true);
  },
};

onCommand((command) => run[command.do](command));
