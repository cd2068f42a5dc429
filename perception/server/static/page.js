// The page: one WebSocket, a card for each source. Each frame brings its own boxes.

import { COLOURS, drawFrame, drawPlot } from "./drawing.js";

const KEPT = 240; // ages in a plot
const byId = (id) => document.getElementById(id);
const cards = new Map();
const tasks = new Set(Object.keys(COLOURS));
let confidence = 0.25;
let socket = null;
let waitMs = 500;

for (const [task, colour] of Object.entries(COLOURS)) {
  const chip = document.createElement("label");
  chip.className = "chip";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.value = task;
  const mark = document.createElement("i");
  mark.style.background = colour;
  chip.append(box, mark, task);
  box.addEventListener("change", () => {
    if (box.checked) tasks.add(task);
    else tasks.delete(task);
    redraw();
  });
  byId("tasks").append(chip);
}

byId("confidence").addEventListener("input", (event) => {
  confidence = Number(event.target.value);
  byId("confidence-shown").value = confidence.toFixed(2);
  redraw();
});

function redraw() {
  for (const card of cards.values()) card.draw();
}

class Card {
  constructor(name) {
    this.root = byId("source").content.firstElementChild.cloneNode(true);
    this.part = (kind) => this.root.querySelector(`.${kind}`);
    this.root.dataset.source = name;
    this.root.querySelector("h2").textContent = name;
    this.part("remove").addEventListener("click", () => remove(name));
    this.ages = [];
    this.image = this.facts = null;
    this.isLive = true;
    byId("sources").append(this.root);
  }

  show(image, facts) {
    this.image?.close();
    this.image = image;
    this.facts = facts;
    if (this.isLive) this.part("away").textContent = "";
    if (facts.age_ms !== null) {
      this.ages.push(facts.age_ms);
      this.ages.splice(0, this.ages.length - KEPT);
      this.part("age").textContent = `${facts.age_ms.toFixed(0)} ms`;
    }
    this.draw();
    drawPlot(this.part("plot"), this.ages);
  }

  draw() {
    if (!this.image) return;
    const shown = drawFrame(this.part("image"), this.image, this.facts, tasks, confidence);
    this.root.dataset.frame = this.facts.frame;
    this.root.dataset.boxes = shown;
  }

  tell(health, reason, mayEdit) {
    const text = (kind, value) => { this.part(kind).textContent = value; };
    const badge = this.part("state");
    badge.dataset.state = badge.textContent = health.state;
    text("fps", health.fps_measured === null ? "–" : health.fps_measured.toFixed(1));
    const dropped = Object.values(health.dropped).reduce((sum, count) => sum + count, 0);
    const share = health.drop_share === null ? "" : ` (${Math.round(health.drop_share * 100)} %)`;
    text("dropped", `${dropped}${share}`);
    this.part("dropped").title = Object.entries(health.dropped)
      .map(([why, count]) => `${why}: ${count}`).join("\n");
    text("corrupt", health.corrupt);
    text("reconnects", health.reconnects);
    const isLive = this.isLive = health.state === "live";
    if (!isLive) {
      const since = `${health.state} for ${Math.round(health.state_s)} s`;
      text("away", reason === "ended" ? reason : `${since}${reason ? ` – ${reason}` : ""}`);
      text("age", health.age_s === null ? "–" : `${health.age_s.toFixed(0)} s`);
    }
    text("problem", isLive ? "" : health.last_error ?? "");
    this.part("remove").hidden = !mayEdit || health.state === "closed";
  }
}

function cardOf(name) {
  if (!cards.has(name)) cards.set(name, new Card(name));
  byId("empty").hidden = true;
  return cards.get(name);
}

async function frame(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  try {
    const jpeg = new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" });
    cardOf(facts.source).show(await createImageBitmap(jpeg), facts);
  } finally {
    say({ drawn: facts.number });
  }
}

function status(now) {
  const looks = now.health.budget?.model ?? now.model;
  const words = [looks, now.engine, now.precision].filter(Boolean).join(" · ");
  byId("model").textContent = now.fps === null ? words : `${words} · ${now.fps.toFixed(1)} results/s`;
  const stuck = now.health.stuck;
  connection(stuck ? "lost" : "live", stuck ? "the network is stuck" : "live");
  const closed = now.health.sources.filter((each) => each.state === "closed");
  for (const health of now.health.sources) {
    const reason = now.reasons[health.source];
    if (reason === "closed by us") { // taken out of the run
      cards.get(health.source)?.root.remove();
      cards.delete(health.source);
    } else {
      cardOf(health.source).tell(health, reason, now.may_edit);
    }
  }
  const known = new Set(now.health.sources.map((each) => each.source));
  for (const [name, card] of cards) { // left so long ago that nobody reports it
    if (!known.has(name)) {
      card.root.remove();
      cards.delete(name);
    }
  }
  byId("empty").hidden = now.health.sources.length > closed.length || cards.size > 0;
  byId("add").hidden = !now.may_edit;
  rows(now.latency_ms);
  events(now.events);
}

function rows(latencies) {
  byId("latency").tBodies[0].replaceChildren(...Object.entries(latencies).map(([stage, values]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = stage;
    row.append(head, ...values.map((value) => {
      const cell = document.createElement("td");
      cell.textContent = value.toFixed(1);
      return cell;
    }));
    return row;
  }));
}

function events(latest) {
  byId("events").replaceChildren(...latest.toReversed().map((event) => {
    const item = document.createElement("li");
    const time = document.createElement("time");
    const at = new Date(event.at * 1000);
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleTimeString();
    const about = event.text.includes(event.source) ? "" : `${event.source} `;
    item.append(time, `${about}→ ${event.state}: ${event.text}`);
    return item;
  }));
}

function connection(state, text) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = text;
}

function say(words) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(words));
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => {
    waitMs = 500;
    visible();
  });
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") status(JSON.parse(data));
    else frame(data);
  });
  socket.addEventListener("close", ({ code }) => {
    const over = "the run is over"; // 1012: the server was quicker to say so than the run
    const why = { 1001: over, 1012: over, 1013: "too many viewers" }[code] ?? "connection lost";
    connection("lost", why);
    for (const card of cards.values()) card.part("away").textContent = why;
    setTimeout(connect, waitMs);
    waitMs = Math.min(2 * waitMs, 10000);
  });
}

// A page that nobody sees asks for no frames.
function visible() {
  say({ sources: document.hidden ? [] : null });
}
document.addEventListener("visibilitychange", visible);

async function ask(method, url, body) {
  const answer = await fetch(url, { method, body });
  if (!answer.ok) throw new Error((await answer.text()).trim());
}

async function remove(name) {
  try {
    await ask("DELETE", `/api/sources?source=${encodeURIComponent(name)}`);
  } catch (error) {
    byId("add-error").textContent = error.message;
  }
}

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("add-error").textContent = "";
  try {
    await ask("POST", "/api/sources", JSON.stringify({ source: byId("address").value }));
    byId("address").value = "";
  } catch (error) {
    byId("add-error").textContent = error.message;
  }
});

connect();
