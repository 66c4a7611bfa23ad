'use strict';

// What the Node peers share: commands come in and events go out, a JSON object a line.

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

module.exports = { emit, emitClosed, onCommand, sendInFragments };
