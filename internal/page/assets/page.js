"use strict";

// The server renders the page. This script keeps the page fresh: /api/events says that
// something has happened, the script asks for the page again, and changes what is different.
// No text is made into markup here, and the page's policy forbids it.

const again = 2000; // ms until the next try, if the listener cannot be reached
const byId = (id) => document.getElementById(id);

// The token is kept for this tab only.
const token = {
  value: "",

  recall() {
    try {
      this.value = sessionStorage.getItem("holdfast-token") || "";
    } catch {
      // The browser keeps nothing for this page.
    }
  },

  keep(value) {
    this.value = value;
    try {
      if (value) sessionStorage.setItem("holdfast-token", value);
      else sessionStorage.removeItem("holdfast-token");
    } catch {
      // The token holds until the page is left.
    }
  },

  fields() {
    return this.value ? { Authorization: "Bearer " + this.value } : {};
  },
};

// morph makes old like fresh, and keeps every node that can stay: with it stay the focus,
// the selection and a running animation. What has data-keep belongs to this script.
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE || old.hasAttribute("data-keep")) return;
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    const isOpen = name === "open" && old.localName === "details";
    if (!fresh.hasAttribute(name) && !isOpen) old.removeAttribute(name);
  }
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const keyOf = (node) => node.nodeType === Node.ELEMENT_NODE && node.tagName === "TR" ? node.dataset.key : undefined;
  const wanted = new Set([...fresh.childNodes].map(keyOf));
  const keyed = new Map();
  for (const node of [...old.childNodes]) {
    const key = keyOf(node);
    if (key === undefined) continue;
    if (wanted.has(key) && !keyed.has(key)) keyed.set(key, node);
    else node.remove();
  }
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    let node = key === undefined ? at : keyed.get(key);
    const fits = node && node.nodeType === next.nodeType && node.nodeName === next.nodeName && keyOf(node) === key;
    if (!fits) {
      node = document.importNode(next, true);
      old.insertBefore(node, at);
      continue;
    }
    morph(node, next);
    if (node === at) at = at.nextSibling;
    else old.insertBefore(node, at);
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

// load asks for the page at an address. XMLHttpRequest makes a document of the answer; its
// scripts do not run.
function load(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = 10000;
    for (const [name, value] of Object.entries(token.fields())) request.setRequestHeader(name, value);
    request.onload = () => {
      if (request.status === 200 && request.response) resolve(request.response);
      else reject(new Error("the listener answers " + request.status));
    };
    request.onerror = request.ontimeout = () => reject(new Error("the listener cannot be reached"));
    request.send();
  });
}

let isLoading = false;
let isDirty = false;

// refresh shows the state of now. While it loads, further wishes become one.
async function refresh() {
  isDirty = true;
  if (isLoading) return;
  isLoading = true;
  try {
    while (isDirty) {
      isDirty = false;
      const wanted = location.search;
      const fresh = await load("/" + wanted);
      if (wanted === location.search) show(fresh);
      else isDirty = true;
    }
    complain("page", "");
  } catch (err) {
    isDirty = false;
    complain("page", `This page is old: ${err.message}. It tries again.`);
  } finally {
    isLoading = false;
  }
}

function show(fresh) {
  const focused = document.activeElement || document.body;
  const places = near(focused);
  const before = byId("sentence").dataset.key;
  for (const part of ["header.top", "main"]) {
    morph(document.querySelector(part), fresh.querySelector(part));
  }
  document.title = fresh.title;
  byId("at").textContent = fresh.getElementById("at").textContent;
  if (focused !== document.activeElement) land(places);
  if (byId("confirm").open) review();
  if (before !== byId("sentence").dataset.key) tell(byId("sentence").textContent);
}

// near lists where the focus may be put again, the nearest place first: the element itself, the
// buttons of the rows below and above, and the heading. Resume is left out: it asks no question,
// so a key that was meant for another row would resume an address.
function near(element) {
  const row = element.closest("tbody tr");
  const rows = row ? [...row.parentNode.rows] : [];
  const at = rows.indexOf(row);
  const others = [...rows.slice(at + 1), ...rows.slice(0, Math.max(at, 0)).reverse()];
  const heading = element.closest("section")?.querySelector("[tabindex='-1']");
  return [element, ...others.map((r) => r.querySelector("[data-act]:not([data-act=resume])")), heading];
}

// land puts the focus on the first of the places that is still there and takes it.
function land(places) {
  for (const place of [...places, byId("sessions"), byId("state")]) {
    place?.focus({ preventScroll: true });
    if (place && place === document.activeElement) return;
  }
}

// tell is for those who hear the page. Figures that change are not told.
function tell(text) {
  byId("told").textContent = text;
}

// What is wrong: with the page, until it is fresh again, and with what a button asked for,
// until another button is pressed.
const problems = { page: "", act: "" };

function complain(about, what) {
  problems[about] = what;
  const text = Object.values(problems).filter(Boolean).join(" ");
  const problem = byId("problem");
  if (problem.textContent !== text) problem.textContent = text;
  problem.hidden = !text;
}

// follow reads the events until the stream ends. EventSource could not send the token.
async function follow(signal) {
  const answer = await fetch("/api/events", { headers: { Accept: "text/event-stream", ...token.fields() }, signal });
  if (!answer.ok) throw new Error(await answer.text());
  document.querySelector(".live").hidden = false;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    unread += value;
    const events = unread.split("\n\n");
    unread = events.pop();
    if (events.some((event) => event.startsWith("event:"))) refresh();
  }
}

let stream = new AbortController();

async function live() {
  for (;;) {
    stream = new AbortController();
    try {
      if (!document.hidden) await follow(stream.signal);
    } catch {
      // The next refresh says what is wrong.
    }
    document.querySelector(".live").hidden = true;
    await pause();
    if (!document.hidden) refresh();
  }
}

// pause lasts a moment, or until the page is looked at again.
function pause() {
  return new Promise((resolve) => {
    if (!document.hidden) setTimeout(resolve, again);
    else document.addEventListener("visibilitychange", resolve, { once: true });
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.abort();
});

// ask sends what a button wants, and tells that it is done. If the listener does not know what
// it should be done to, gone says so.
async function ask(path, done, gone) {
  try {
    const answer = await fetch(path, { method: "POST", headers: token.fields() });
    if (!answer.ok) throw new Error(answer.status === 404 ? gone : (await answer.text()).trim());
    tell(done);
  } catch (err) {
    tell("");
    await refresh();
    complain("act", err.message);
    return;
  }
  refresh();
}

// The question that is open, or was the last one: what takes its answer, what tells why there
// is nothing to ask any more (or ""), and where the focus goes afterwards.
let question = { answer() {}, outdated: () => "", places: [] };

// confirm asks first. Escape and Cancel say no. The answer is taken from the button and the
// key: the dialog's own close event may come when the next question is open already.
function confirm(button, title, text, yes, outdated) {
  question.answer(false);
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-no").textContent = "Cancel";
  byId("confirm-yes").textContent = yes;
  byId("confirm-yes").hidden = false;
  byId("confirm").showModal();
  return new Promise((answer) => {
    question = { answer, outdated, places: near(button) };
  });
}

// review says so if there is nothing to ask any more, and leaves no yes.
function review() {
  const why = question.outdated();
  if (!why || byId("confirm-yes").hidden) return;
  byId("confirm-text").textContent = why;
  byId("confirm-no").textContent = "OK";
  byId("confirm-no").focus();
  byId("confirm-yes").hidden = true;
}

byId("confirm").addEventListener("submit", (event) => question.answer(event.submitter.value === "yes"));
byId("confirm").addEventListener("cancel", () => question.answer(false));

// The browser gives the focus back to the button. If the button has gone, the focus is still in
// the closed dialog, which loses it when the browser draws the page again.
byId("confirm").addEventListener("close", () => {
  const focused = document.activeElement || document.body;
  if (!byId("confirm").open && (focused === document.body || byId("confirm").contains(focused))) land(question.places);
});

const acts = {
  async close({ id, client, path }, button) {
    const session = `session of ${client} at ${path}`;
    const ended = `The ${session} has ended already.`;
    const text = `The client ${client} at ${path} is sent Close ${byId("confirm").dataset.code}, and its upstream 1001.`;
    const outdated = () => document.querySelector(`#last [data-key="${CSS.escape(id)}"]`) ? ended : "";
    if (!await confirm(button, "Close this session?", text, "Close the session", outdated)) return;
    await ask(`/api/sessions/${encodeURIComponent(id)}/close`, `Holdfast closes the ${session}.`, ended);
  },

  async drain({ name, address, sessions }, button) {
    const { spread, code } = byId("confirm").dataset;
    const called = address || name;
    const text = address
      ? `${address} gets no new sessions. The sessions that it has (${sessions}) end ${spread}: their clients are sent Close ${code}.`
      : `The name leads to no address. The addresses that ${name} gets later get no sessions until it is resumed.`;
    const left = address ? `${address} is not in use any more.` : `${name} has addresses now.`;
    const outdated = () => {
      if (!button.isConnected) return left;
      return button.dataset.act === "drain" ? "" : `${called} is drained already.`;
    };
    if (!await confirm(button, address ? "Drain this address?" : "Drain this upstream?", text, "Drain it", outdated)) return;
    await ask(target(name, address, "drain"), `Holdfast drains ${called}.`, left);
  },

  async resume({ name, address }) {
    const called = address || name;
    await ask(target(name, address, "resume"), `Holdfast uses ${called} again.`, `${called} is not in use any more.`);
  },
};

// target returns the path for an address, or for the whole upstream if there is no address.
function target(name, address, act) {
  const path = `/api/upstreams/${encodeURIComponent(name)}/${act}`;
  return address ? `${path}?address=${encodeURIComponent(address)}` : path;
}

// go shows the list that parameters ask for, and puts them into the address of the page.
function go(parameters) {
  history.replaceState(null, "", "/?" + parameters);
  refresh();
}

document.addEventListener("click", (event) => {
  const act = event.target.closest("[data-act]");
  if (act) act.focus({ preventScroll: true }); // not every browser does so at a click
  if (act) complain("act", "");
  if (act) acts[act.dataset.act](act.dataset, act);
  const sort = event.target.closest("a[data-sort]");
  if (sort && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go(new URL(sort.href).searchParams);
  }
  if (event.target.id === "forget") {
    token.keep("");
    restart();
  }
});

document.addEventListener("input", (event) => {
  if (event.target.id === "filter-text") go(new URLSearchParams(new FormData(event.target.form)));
});

document.addEventListener("submit", (event) => {
  if (event.target.id === "filter") event.preventDefault();
  if (event.target.id === "token") {
    event.preventDefault();
    token.keep(byId("token-value").value.trim());
    restart();
  }
});

// restart makes the stream and the page anew, for another token.
function restart() {
  stream.abort();
  refresh();
}

token.recall();
if (token.value) refresh();
live();
