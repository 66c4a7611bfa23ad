"use strict";

const pollEvery = 400; // ms
const keptEvents = 200;
const keptEchoes = 4;
const byId = (id) => document.getElementById(id);

const seconds = (s) => `${s < 100 ? s.toFixed(1) : Math.round(s)} s`;
const milliseconds = (s) => `${(s * 1000).toFixed(s < 0.01 ? 2 : 0)} ms`;
const short = (s) => `${+s.toFixed(2)} s`;

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// The visitor: this page's own WebSocket, through the middlebox and Holdfast.
const visitor = {
  name: "",
  socket: null,
  sent: [], // messages without an echo yet
  lastSpoke: 0,
  lastBeat: 0, // when a heartbeat came; 0 before the first
  beat: "", // the text of a heartbeat
  bound: Infinity, // ms; so long a silence after a heartbeat means that the path is dead

  connect(address) {
    this.say("", "Connecting…");
    this.name = "you-" + Math.random().toString(36).slice(2, 6);
    const socket = new WebSocket(address + this.name);
    this.socket = socket;
    socket.onopen = () => {
      this.lastSpoke = performance.now();
      this.say("alive", "Connected. Be silent for as long as you like.");
      enable(byId("talk"), true);
    };
    socket.onmessage = (m) => {
      if (this.socket === socket) this.hear(m.data);
    };
    socket.onclose = (c) => {
      if (this.socket !== socket) return; // given up before
      this.leave();
      this.say("dead", `Closed: ${c.code} ${c.reason}`);
    };
  },

  leave() {
    this.socket = null;
    this.lastSpoke = this.lastBeat = 0;
    this.sent = [];
    enable(byId("talk"), false);
  },

  // What any page's script can do: heartbeats come, so a long silence means a dead path. Without
  // heartbeats every silence could be the service's.
  watch() {
    const silent = performance.now() - this.lastBeat;
    byId("beat").textContent = this.lastBeat ? seconds(silent / 1000) : "–";
    if (!this.lastBeat || silent < this.bound) return;
    const socket = this.socket;
    this.leave();
    socket.close(); // it gets no answer, and needs none
    this.say("dead", "The path is dead.");
    byId("death").textContent = `Your path died, and nobody said so. The script knew ${seconds(silent / 1000)} after the last message, and has connected again.`;
  },

  speak(text) {
    this.lastSpoke = performance.now();
    this.sent.push({ text, at: this.lastSpoke });
    this.socket.send(text);
  },

  hear(text) {
    if (text === this.beat) {
      this.lastBeat = performance.now();
      return;
    }
    const asked = this.sent.shift();
    if (!asked || asked.text !== text) return;
    const line = element("li", text);
    line.append(element("time", milliseconds((performance.now() - asked.at) / 1000)));
    byId("echoes").prepend(line);
    while (byId("echoes").children.length > keptEchoes) byId("echoes").lastChild.remove();
  },

  say(lamp, text) {
    byId("lamp").className = "lamp " + lamp;
    byId("status").textContent = text;
  },
};

function enable(root, yes) {
  for (const e of root.querySelectorAll("input, button")) e.disabled = !yes;
}

byId("talk").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = byId("message").value.trim();
  if (!text || !visitor.socket) return;
  visitor.speak(text);
  byId("message").value = "";
});

const actions = document.querySelectorAll("[data-action]");
document.addEventListener("click", async (e) => {
  const path = e.target.dataset.action;
  if (!path) return;
  try {
    const answer = await fetch(`${path}?visitor=${visitor.name}`, { method: "POST" });
    byId("refusal").textContent = answer.ok ? "" : await answer.text();
  } catch {
    byId("refusal").textContent = "the demo has ended";
  }
});

function showVisits(visits) {
  byId("visits").replaceChildren(...visits.map((v) => {
    const row = element("tr", undefined, v.ghost ? "ghost" : "");
    row.append(
      element("td", v.name === visitor.name ? "you" : v.name),
      element("td", v.through ? "through Holdfast" : "straight"),
      element("td", seconds(v.age)),
      element("td", seconds(v.silent)),
    );
    const tag = element("td");
    tag.append(element("span", v.ghost ? "ghost" : "here", v.ghost ? "tag" : "tag here"));
    row.append(tag);
    return row;
  }));
}

let lastEvent = 0;

function showEvents(events) {
  if (!events.length) return;
  lastEvent = events[events.length - 1].seq;
  const list = byId("events");
  const following = list.scrollHeight - list.scrollTop - list.clientHeight < 20;
  for (const e of events) {
    const line = element("li", undefined, e.who);
    line.append(element("time", e.at.toFixed(1) + " s"), element("b", e.who), element("span", e.text));
    list.append(line);
  }
  while (list.children.length > keptEvents) list.firstChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}

function showCounters(counters) {
  for (const e of document.querySelectorAll("[data-counter]")) {
    const name = e.dataset.counter;
    const value = counters[name];
    e.textContent = name === "roundTrip" ? (value ? milliseconds(value) : "–") : value;
  }
}

let run; // of the demo that this page belongs to

function show(state) {
  run ??= state.run;
  if (run !== state.run) {
    location.reload(); // the new demo's events begin anew, and the page may open no socket but its own demo's
    return;
  }
  byId("limit").textContent = short(state.limit);
  byId("interval").textContent = short(state.interval);
  byId("within").textContent = short(state.interval + state.timeout);
  byId("bound").textContent = short(state.bound);
  visitor.beat = state.beat;
  visitor.bound = state.bound * 1000;
  showCounters(state.counters);
  showVisits(state.visits);
  showEvents(state.events);
  byId("status-page").firstChild.href = state.status;
  byId("status-page").hidden = !state.status;
  for (const button of actions) button.disabled = !state.open;
  if (state.open && !visitor.socket) visitor.connect(state.socket);
}

async function poll() {
  try {
    const answer = await fetch("/state?after=" + lastEvent);
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
  } catch {
    for (const button of actions) button.disabled = true;
    if (!visitor.socket) visitor.say("dead", "The demo has ended. This page waits for the next one.");
  }
  setTimeout(poll, pollEvery);
}

setInterval(() => {
  visitor.watch();
  byId("silence").textContent = visitor.lastSpoke ? seconds((performance.now() - visitor.lastSpoke) / 1000) : "–";
}, 100);

poll();
