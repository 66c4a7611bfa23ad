'use strict';

// Services with heartbeats of their own, which say back what their clients say. Those of
// graphql-ws and socket.io are the libraries' own; the others speak as much of their protocol as
// their clients need.

const { WebSocketServer } = require('ws');
const { emit, emitClosed, listen, onCommand } = require('./peer');
const { Hearing, nameOf } = require('./heartbeat_peer');

// mute: it sends no heartbeat and answers none. beat: milliseconds between its own. limit:
// milliseconds without a message from the client after which it ends a session, or 0.
const [protocol, { mute, beat, limit }] = [process.argv[2], JSON.parse(process.argv[3])];
const sockets = new Map();

const web = listen({}, (request, response) => response.writeHead(404).end());

function serve(options = {}) {
  const server = new WebSocketServer({
    server: web,
    WebSocket: Hearing,
    perMessageDeflate: { threshold: 0 },
    handleProtocols: ([first]) => first,
    ...options,
  });
  server.on('connection', (ws, request) => {
    const id = nameOf(request.url);
    sockets.set(id, ws);
    emit('open', { id, extensions: ws.extensions });
    emitClosed(ws, id);
    if (limit) {
      demand(ws, id);
    }
  });
  return server;
}

function demand(ws, id) {
  const end = () => {
    if (ws.deaf) {
      return;
    }
    emit('starved', { id });
    ws.close(4000, 'starved');
  };
  let timer = setTimeout(end, limit);
  ws.on('message', () => {
    clearTimeout(timer);
    timer = setTimeout(end, limit);
  });
  ws.on('close', () => clearTimeout(timer));
}

// Each protocol is what a service does with a client's text. begin is done when the session opens.
function speak({ begin, hear, every }) {
  serve().on('connection', (ws) => {
    const say = (text) => ws.send(text);
    begin?.(say);
    ws.on('message', (message) => hear(message.toString(), say));
    if (every && !mute) {
      const timer = setInterval(() => ws.deaf || every(say), beat);
      ws.on('close', () => clearInterval(timer));
    }
  });
}

const RS = '\x1e';

// Cuts a STOMP frame in its command, headers and body.
function parse(frame) {
  const [, head, body] = /^([^]*?)\n\n([^]*)\0/.exec(frame);
  const [command, ...lines] = head.split('\n');
  return { command, body, headers: Object.fromEntries(lines.map((line) => line.split(/:(.*)/))) };
}

const protocols = {
  // The library answers every ping. A service that is mute never sees one.
  graphql() {
    const { buildSchema } = require('graphql');
    const { useServer } = require('graphql-ws/use/ws');
    class Mute extends Hearing {
      emit(event, message, ...rest) {
        const ping = event === 'message' && message.toString() === '{"type":"ping"}';
        return mute && ping ? true : super.emit(event, message, ...rest);
      }
    }
    useServer({
      schema: buildSchema('type Query { echo(text: String!): String! }'),
      roots: { query: { echo: ({ text }) => text } },
    }, serve({ WebSocket: Mute }));
  },

  socketio() {
    const { Server } = require('socket.io');
    const io = new Server(web, { pingInterval: beat, pingTimeout: limit, perMessageDeflate: { threshold: 0 } });
    io.on('connection', (socket) => {
      const { id } = socket.handshake.query;
      emit('open', { id, extensions: socket.conn.transport.socket.extensions });
      socket.on('echo', (text, back) => back(text));
      socket.on('disconnect', (reason) => emit('starved', { id, reason }));
      socket.conn.transport.socket.on('close', (code, reason) => emit('closed', { id, code, reason: reason.toString() }));
    });
  },

  signalr() {
    const ping = JSON.stringify({ type: 6 }) + RS;
    const hear = (text, say) => {
      for (const record of text.split(RS).slice(0, -1).map(JSON.parse)) {
        if (record.protocol) {
          say('{}' + RS);
        } else if (record.type === 1) {
          say(JSON.stringify({ type: 3, invocationId: record.invocationId, result: record.arguments[0] }) + RS);
        }
      }
    };
    speak({ hear, every: (say) => say(ping) });
  },

  phoenix() {
    speak({
      hear(text, say) {
        const [joined, ref, topic, event, payload] = JSON.parse(text);
        const response = event === 'echo' ? payload : {};
        if (topic !== 'phoenix' || !mute) {
          say(JSON.stringify([joined, ref, topic, 'phx_reply', { response, status: 'ok' }]));
        }
      },
    });
  },

  pusher() {
    speak({
      begin(say) {
        const data = JSON.stringify({ socket_id: '1.1', activity_timeout: 120 });
        say(JSON.stringify({ event: 'pusher:connection_established', data }));
      },
      hear(text, say) {
        const { event, data } = JSON.parse(text);
        if (event === 'pusher:ping' && !mute) {
          say(JSON.stringify({ event: 'pusher:pong', data: {} }));
        } else if (event === 'client-echo') {
          say(JSON.stringify({ event: 'echo', channel: 'room', data }));
        }
      },
    });
  },

  stomp() {
    speak({
      hear(text, say) {
        if (text === '\n') {
          return;
        }
        const { command, headers, body } = parse(text);
        if (command === 'CONNECT') {
          say(`CONNECTED\nversion:1.2\nheart-beat:${beat},${beat}\n\n\0`);
        } else if (command === 'SEND') {
          say(`MESSAGE\nsubscription:sub-0\nmessage-id:1\ndestination:${headers.destination}\n\n${body}\0`);
        }
      },
      every: (say) => say('\n'),
    });
  },
};

const run = {
  hang({ id }) {
    sockets.get(id).deaf = true;
  },
};

protocols[protocol]();
onCommand((command) => run[command.do](command));
