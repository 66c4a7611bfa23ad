'use strict';

// Clients of libraries that have heartbeats of their own, driven by commands: its arguments are
// the library's name, and in milliseconds how often its heartbeat comes and for how long it waits
// for the other side's.

// The libraries' timers sleep when they are told to, as those of a page in the background do.
let asleep = false;
const due = [];

function wake() {
  asleep = false;
  due.splice(0).forEach((call) => call());
}

for (const name of ['setTimeout', 'setInterval']) {
  const real = globalThis[name];
  globalThis[name] = (run, ...rest) => real((...args) => (asleep ? due.push(() => run(...args)) : run(...args)), ...rest);
}

const path = require('node:path');
const { emit, onCommand } = require('./peer');
const { Hearing, nameOf } = require('./heartbeat_peer');

const [library, beat, limit] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const again = 100; // milliseconds until a library connects again, where it can be told
const clients = new Map();
const sockets = new Map(); // the latest of each session

// Tells what the library does with its connection, whichever library it is.
class Socket extends Hearing {
  constructor(url, ...rest) {
    super(url, ...rest);
    const id = nameOf(url);
    sockets.set(id, this);
    this.id = id;
    super.on('close', (code, reason) => emit('closed', { id, code, reason: reason.toString() }));
  }

  close(...rest) {
    if (this.readyState === Socket.OPEN) {
      emit('gaveUp', { id: this.id });
    }
    super.close(...rest);
  }
}

// Each opens a session that is opened again whenever it ends, and returns how to say a text
// that the service says back.
const libraries = {
  // The library sends pings, and leaves it to its user to wait for pongs: its documentation
  // has this code.
  graphql(url, id) {
    const { createClient } = require('graphql-ws');
    let socket, timer;
    const client = createClient({
      url: url + '/' + id,
      webSocketImpl: Socket,
      lazy: false,
      keepAlive: beat,
      retryAttempts: Infinity,
      retryWait: () => new Promise((resolve) => setTimeout(resolve, again)),
      on: {
        opened: (opened) => (socket = opened),
        connected: () => emit('connected', { id }),
        closed: () => clearTimeout(timer),
        ping: (received) => {
          if (!received) {
            timer = setTimeout(() => socket.close(4408, 'Request Timeout'), limit);
          }
        },
        pong: (received) => received && clearTimeout(timer),
      },
    });
    return async (text) => {
      const query = `{ echo(text: ${JSON.stringify(text)}) }`;
      for await (const { data } of client.iterate({ query })) {
        return data.echo;
      }
    };
  },

  // It cannot be told which WebSocket to use, so that one is put in the place of its own.
  socketio(url, id) {
    const ws = require.resolve('ws', { paths: [path.dirname(require.resolve('engine.io-client'))] });
    require(ws);
    require.cache[ws].exports = { WebSocket: Socket };
    const { io } = require('socket.io-client');
    const socket = io(url.replace(/^ws/, 'http'), {
      query: { id },
      transports: ['websocket'],
      forceNew: true,
      reconnectionDelay: again,
      reconnectionDelayMax: again,
    });
    socket.on('connect', () => emit('connected', { id }));
    return (text) => socket.emitWithAck('echo', text);
  },

  signalr(url, id) {
    const { HubConnectionBuilder, HttpTransportType, LogLevel } = require('@microsoft/signalr');
    const connection = new HubConnectionBuilder()
      .withUrl(url.replace(/^ws/, 'http') + '/' + id, { transport: HttpTransportType.WebSockets, skipNegotiation: true, WebSocket: Socket })
      .configureLogging(LogLevel.None)
      .withKeepAliveInterval(beat)
      .withServerTimeout(limit)
      .withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => again })
      .build();
    connection.onreconnected(() => emit('connected', { id }));
    connection.start().then(() => emit('connected', { id }));
    return (text) => connection.invoke('Echo', text);
  },

  // It waits for the answer to a heartbeat until the next one is due: the limit has both.
  phoenix(url, id) {
    const phoenix = require('phoenix');
    const socket = new phoenix.Socket(url + '/' + id, {
      transport: Socket,
      heartbeatIntervalMs: limit / 2,
      reconnectAfterMs: () => again,
    });
    const channel = socket.channel('room', {});
    socket.onOpen(() => emit('connected', { id }));
    socket.connect();
    channel.join();
    return (text) => new Promise((resolve) => channel.push('echo', { text }).receive('ok', (reply) => resolve(reply.text)));
  },

  actioncable(url, id) {
    globalThis.addEventListener = globalThis.removeEventListener = () => {}; // a page's visibility
    const cable = require('@rails/actioncable');
    cable.adapters.WebSocket = Socket;
    cable.ConnectionMonitor.staleThreshold = limit / 1000;
    cable.Connection.reopenDelay = again;
    let received;
    const subscription = cable.createConsumer(url + '/' + id).subscriptions.create('EchoChannel', {
      connected: () => emit('connected', { id }),
      received: ({ text }) => received(text),
    });
    return (text) => new Promise((resolve) => {
      received = resolve;
      subscription.perform('say', { text });
    });
  },

  // The build for web workers, which uses the platform's WebSocket as the one for pages does. The
  // build for Node has a WebSocket of its own.
  pusher(url, id) {
    globalThis.self = globalThis;
    globalThis.WebSocket = Socket;
    const Pusher = require('pusher-js/worker');
    const { hostname, port } = new URL(url);
    const pusher = new Pusher(id, {
      cluster: '',
      wsHost: hostname,
      wsPort: port,
      forceTLS: false,
      enabledTransports: ['ws'],
      enableStats: false,
      activityTimeout: beat,
      pongTimeout: limit,
    });
    const channel = pusher.subscribe('room');
    pusher.connection.bind('connected', () => emit('connected', { id }));
    return (text) => new Promise((resolve) => {
      channel.unbind('echo').bind('echo', (data) => resolve(data.text));
      pusher.send_event('client-echo', { text }, 'room');
    });
  },

  // It gives up after twice the time between the server's heartbeats.
  stomp(url, id) {
    const { Client } = require('@stomp/stompjs');
    let received;
    const client = new Client({
      webSocketFactory: () => new Socket(url + '/' + id, ['v12.stomp']),
      heartbeatIncoming: limit / 2,
      heartbeatOutgoing: beat,
      reconnectDelay: again,
      onConnect: () => {
        client.subscribe('/queue/' + id, ({ body }) => received(body));
        emit('connected', { id });
      },
    });
    client.activate();
    return (text) => new Promise((resolve) => {
      received = resolve;
      client.publish({ destination: '/queue/' + id, body: text });
    });
  },
};

const run = {
  connect({ id, url }) {
    clients.set(id, libraries[library](url, id));
  },

  async say({ id, payload }) {
    emit('said', { id, payload: await clients.get(id)(payload) });
  },

  // Nothing runs any more but the WebSocket library, until it ends the session.
  hang({ id }) {
    const socket = sockets.get(id);
    socket.deaf = asleep = true;
    socket.once('close', wake);
  },

  sleep() {
    asleep = true;
    emit('asleep', {});
  },
};

onCommand((command) => run[command.do](command));
