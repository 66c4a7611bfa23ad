'use strict';

// An echo server on the ws library that never pings: a legacy service. It answers
// requests that are no handshake with what it was asked, so that clients can tell
// what became of them on the way, and those for events with what it is told to say.

const { WebSocketServer } = require('ws');
const { digest, emit, emitClosed, idOf, listen, onCommand, sendInFragments, tlsState } = require('./peer');

const options = JSON.parse(process.argv[2]);
const sessions = new Map();
const streams = new Map();

async function answer(request, response) {
  const id = idOf(request);
  const { method, url, headers } = request;
  emit('request', { id, headers });
  if (headers.accept === 'text/event-stream') {
    streamEvents(id, response);
    return;
  }
  const body = await digest(request);
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ method, url, headers, ...body }));
}

function streamEvents(id, response) {
  streams.set(id, response);
  response.on('close', () => emit('gone', { id }));
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.flushHeaders();
}

const web = listen(options, answer);

// Who asks before sending gets an answer before: the body of what is refused is
// never wanted.
web.on('checkContinue', (request, response) => {
  emit('asks', { id: idOf(request) });
  if (idOf(request) === 'unwanted') {
    response.writeHead(413, { Connection: 'close' }).end();
    return;
  }
  response.writeContinue();
  answer(request, response);
});

const server = new WebSocketServer({
  server: web,
  perMessageDeflate: Boolean(options.deflate),
  autoPong: !options.mute && !options.emptyPong,
  handleProtocols: (offered) => (options.protocols || []).find((p) => offered.has(p)) || false,
});

server.on('connection', (ws, request) => {
  const id = idOf(request);
  sessions.set(id, ws);
  const { protocol, extensions } = ws;
  emit('open', { id, protocol, extensions, headers: request.headers, ...tlsState(request.socket) });
  emitClosed(ws, id);
  ws.on('ping', (payload) => {
    emit('ping', { id, payload: payload.toString('latin1') });
    if (options.emptyPong) {
      ws.pong();
    }
  });
  ws.on('message', (message, binary) => sendInFragments(ws, message, binary, options.fragments || 1));
});

const run = {
  // Without a code ws sends an empty Close.
  close({ id, code, reason }) {
    sessions.get(id).close(code, reason);
  },

  say({ id, payload }) {
    streams.get(id).write(`data: ${payload}\n\n`);
  },
};

onCommand((command) => run[command.do](command));
