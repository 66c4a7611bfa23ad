'use strict';

// What the Node peers share: commands come in and events go out, a JSON object a line.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const readline = require('node:readline');

function emit(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
}

// The end of the test closes our stdin, and with it this process.
function onCommand(run) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (line) => run(JSON.parse(line)));
  lines.on('close', () => process.exit(0));
}

// Reports the Close that came; 1006 says that none did, 1005 that it was empty.
function emitClosed(ws, id) {
  ws.on('error', (error) => emit('error', { id, reason: error.message }));
  ws.on('close', (code, reason) => emit('closed', { id, code, reason: reason.toString() }));
}

// A string is cut between characters: there are no surrogates in what is sent here.
function sendInFragments(ws, message, binary, count) {
  const length = Math.ceil(message.length / count);
  for (let i = 0; i < count; i++) {
    const part = message.slice(i * length, (i + 1) * length);
    ws.send(part, { binary, fin: i === count - 1 });
  }
}

// The TLS that options name: files, and a version if there is to be only one.
function tlsOptions(options) {
  if (!options) {
    return {};
  }
  const read = (file) => file && fs.readFileSync(file);
  return {
    ca: read(options.ca),
    cert: read(options.cert),
    key: read(options.key),
    minVersion: options.version,
    maxVersion: options.version,
    ALPNProtocols: ['http/1.1'],
  };
}

function tlsState(socket) {
  if (!socket.encrypted) {
    return {};
  }
  const serial = (socket.getPeerCertificate().serialNumber || '').toLowerCase();
  return { tls: socket.getProtocol(), alpn: socket.alpnProtocol || '', serial };
}

// Both peers call a session by the end of its path.
function idOf(request) {
  return new URL(request.url, 'http://localhost').pathname.split('/').pop();
}

// A web server that listens where options say, and tells its port.
function listen(options, answer) {
  const server = options.tls ? https.createServer(tlsOptions(options.tls), answer) : http.createServer(answer);
  server.on('listening', () => emit('listening', { port: server.address().port }));
  server.listen(options.socket || { host: '127.0.0.1', port: 0 });
  return server;
}

async function digest(stream) {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest('hex') };
}

module.exports = { digest, emit, emitClosed, idOf, listen, onCommand, sendInFragments, tlsOptions, tlsState };
