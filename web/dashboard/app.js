"use strict";
/* Reads /debug/stats.json at an interval and shows what has changed since. Text goes into the page
   by textContent only. */
const KEPT = 120;               /* points of a plot */
const $ = id => document.getElementById(id);
const STYLES = ["", "6 3", "2 3", "8 3 2 3", "1 2", "10 4", "4 4"];
const HELD_NS = 100e6;          /* a P that has not looked around for so long is held by a coroutine */
const MOST = 6;                 /* series of a plot that may have many; the rest is "other", in grey */
let before = null, timer = 0, paused = false, asTables = false, failures = 0;

function el(name, attributes, ...children) {
  const svg = ["svg", "path", "line", "text", "rect", "g"].includes(name);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

/* ---- numbers for people ---- */

function short(n) {
  if (!isFinite(n)) return "–";
  const a = Math.abs(n);
  if (a >= 1e9) return (n / 1e9).toFixed(2) + " G";
  if (a >= 1e6) return (n / 1e6).toFixed(2) + " M";
  if (a >= 1e4) return (n / 1e3).toFixed(1) + " k";
  return a >= 100 || Number.isInteger(n) ? n.toFixed(0) : a >= 10 ? n.toFixed(1) : n.toFixed(2);
}
function bytes(n) {
  if (!isFinite(n)) return "–";
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 1024]])
    if (n >= size) return (n / size).toFixed(1) + " " + unit;
  return n.toFixed(0) + " B";
}
function span(ns) {
  if (!isFinite(ns)) return "–";
  if (ns >= 1e9) return (ns / 1e9).toFixed(2) + " s";
  if (ns >= 1e6) return (ns / 1e6).toFixed(2) + " ms";
  if (ns >= 1e3) return (ns / 1e3).toFixed(1) + " µs";
  return ns.toFixed(0) + " ns";
}
function age(ns) {
  const s = Math.floor(ns / 1e9), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}
const percent = x => isFinite(x) ? x.toFixed(0) + " %" : "–";

/* ---- plots ---- */

/* What an axis ends at: at least n, and a number that is easy to halve. */
function roundUp(n, format) {
  const unit = format === bytes ? 1024 ** Math.max(0, Math.floor(Math.log2(n) / 10)) : 1, ten = 10 ** Math.floor(Math.log10(n / unit));
  return [1, 2, 2.5, 5, 10].map(k => k * ten * unit).find(k => k >= n * .999);
}

class Chart {
  /* Series may be added later; stacked ones are drawn as areas on top of each other. With `most`, the
     so many largest of those in sight are shown, each in its place for as long as it is one of them. */
  constructor(title, format, options) {
    Object.assign(this, { title, format, stacked: false, max: 0, most: 0, colours: {} }, options);
    this.names = [];            /* of the series shown, in their places; null: free */
    this.rows = [];             /* {at, values: {name: number}} */
    this.at = -1;               /* the row under the cursor; -1: none */
    this.value = el("span");
    const id = "chart" + Chart.count++;
    this.svg = el("svg", { role: "img", tabindex: "0", "aria-label": title, viewBox: "0 0 400 192", preserveAspectRatio: "none" });
    this.key = el("ul", { class: "key" });
    this.table = el("table");
    this.tableBox = el("div", { class: "charttable scroll", tabindex: "0", role: "region", "aria-labelledby": id, hidden: "" }, this.table);
    this.live = el("p", { class: "hidden", "aria-live": "polite" });
    this.figure = el("figure", { class: "card", "aria-labelledby": id },
      el("figcaption", {}, el("h2", { id }, title), this.value), this.svg, this.tableBox, this.key, this.live);
    $("charts").append(this.figure);
    this.svg.addEventListener("keydown", e => this.onKey(e));
    this.svg.addEventListener("pointermove", e => this.onPointer(e));
    for (const gone of ["pointerleave", "blur"]) this.svg.addEventListener(gone, () => this.moveTo(-1));
  }

  add(at, values) {
    this.rows.push({ at, values });
    if (this.rows.length > KEPT) this.rows.shift();
    else if (this.at >= 0 && this.rows.length === KEPT) this.at = Math.max(0, this.at - 1);
    const sums = {};
    for (const r of this.rows) for (const [n, v] of Object.entries(r.values)) sums[n] = (sums[n] || 0) + (v || 0);
    let shown = Object.keys(sums);
    const others = this.most > 0 && shown.length > this.most;
    if (others) shown = shown.sort((a, b) => sums[b] - sums[a]).slice(0, this.most);
    const names = this.names.map(n => shown.includes(n) ? n : null);
    for (const n of shown.filter(n => !names.includes(n))) names[names.includes(null) ? names.indexOf(null) : names.length] = n;
    this.keyChanged ||= others !== this.others || names.some((n, i) => n !== this.names[i]) || names.length !== this.names.length;
    Object.assign(this, { names, others });
  }

  clear() { Object.assign(this, { rows: [], names: [], others: false, at: -1, keyChanged: true }); }

  /* What is drawn of a row: [name, value, number of its colour]. */
  series(row) {
    const all = this.names.map((n, i) => [n, row.values[n] ?? (this.stacked ? 0 : NaN), this.colours[n] ?? i % 7]).filter(s => s[0] !== null);
    if (this.others)
      all.push(["other", Object.entries(row.values).reduce((sum, [n, v]) => this.names.includes(n) ? sum : sum + v, 0), 6]);
    return all;
  }

  style(colour) { return { stroke: `var(--c${colour})`, "stroke-dasharray": STYLES[colour] }; }

  drawKey(row) {
    this.keyChanged = false;
    this.figures = this.series(row).map(() => el("b"));
    this.key.replaceChildren(...this.series(row).map(([name, , colour], i) => el("li", {},
      el("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" }, this.stacked
        ? el("rect", { width: 24, height: 10, fill: `var(--c${colour})` })
        : el("path", { d: "M0 5H24", "stroke-width": 2.5, ...this.style(colour) })), name + " ", this.figures[i])));
  }

  text(row) {
    return row ? this.series(row).filter(s => isFinite(s[1])).map(s => `${s[0]} ${this.format(s[1])}`).join(", ") : "";
  }

  draw() {
    const last = this.rows[this.rows.length - 1], shown = this.rows[this.at] || last;
    if (!shown) { this.key.replaceChildren(); this.svg.replaceChildren(); return; }
    if (this.keyChanged) this.drawKey(shown);
    this.series(shown).forEach((s, i) => { this.figures[i].textContent = this.format(s[1]); });
    this.value.textContent = this.at >= 0 ? age(last.at - shown.at) + " ago" : "";
    this.svg.setAttribute("aria-label", `${this.title}. ${this.text(shown) || "no values yet"}`);
    this.svg.style.display = asTables ? "none" : "";
    this.tableBox.hidden = !asTables;
    if (asTables) this.drawTable(); else this.drawPlot();
  }

  drawTable() {
    const last = this.rows[this.rows.length - 1];
    fillTable(this.table, ["Seconds ago", ...this.series(last).map(s => s[0])], this.rows.slice(-30).reverse().map(r =>
      [((last.at - r.at) / 1e9).toFixed(0), ...this.series(r).map(s => this.format(s[1]))]));
  }

  drawPlot() {
    const box = this.svg.getBoundingClientRect(), W = Math.max(200, box.width), H = Math.max(100, box.height);
    const left = 4, right = W - 4, top = 16, bottom = H - 20, last = this.rows[this.rows.length - 1], inSight = KEPT * $("every").value * 1e6;
    const rows = this.rows.filter(r => last.at - r.at <= inSight), series = this.series(last), heights = rows.map(r => {
      let sum = 0;
      return this.series(r).map(s => this.stacked ? (sum += s[1]) : s[1]);
    });
    const most = Math.max(this.max, ...heights.flat().filter(isFinite)), max = this.max || (most > 0 ? roundUp(most, this.format) : 1);
    const x = at => right - (last.at - at) / inSight * (right - left);
    const y = v => bottom - (bottom - top) * Math.min(v, max) / max, parts = [];
    this.svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
    for (const share of [0, .5, 1]) {
      const at = y(max * share);
      parts.push(el("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
        el("text", { x: left, y: at - 3 }, share ? this.format(max * share) : ""));
    }
    for (const share of [1, .5, 0]) {
      const at = x(last.at - inSight * share), anchor = share === 1 ? "start" : share ? "middle" : "end";
      parts.push(el("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }),
        el("text", { x: at, y: H - 6, "text-anchor": anchor }, share ? "−" + age(inSight * share).replace(" 0 s", "") : "now"));
    }
    for (let s = series.length - 1; s >= 0; s--) {
      const colour = series[s][2];
      let d = "", open = false;
      heights.forEach((h, i) => {
        if (!isFinite(h[s])) { open = false; return; }
        d += `${open ? "L" : "M"}${x(rows[i].at).toFixed(1)} ${y(h[s]).toFixed(1)}`;
        open = true;
      });
      if (!d) continue;
      if (this.stacked) {       /* drawn from the top down: each area covers the ones above it */
        parts.push(el("path", { d: `${d}L${right} ${bottom}L${x(rows[0].at).toFixed(1)} ${bottom}Z`, fill: `var(--c${colour})` }));
      } else {
        parts.push(el("path", { d, fill: "none", "stroke-width": 2, "stroke-linejoin": "round", ...this.style(colour) }));
      }
    }
    if (this.at >= 0) {
      const at = x(this.rows[this.at].at);
      parts.push(el("line", { class: "cursor", x1: at, x2: at, y1: top, y2: bottom }));
    }
    this.svg.replaceChildren(...parts);
  }

  moveTo(i) {
    if (i === this.at) return;
    this.at = i < 0 ? -1 : Math.max(0, Math.min(this.rows.length - 1, i));
    this.draw();
  }

  onKey(e) {
    const last = this.rows.length - 1, from = this.at < 0 ? last + 1 : this.at;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[e.key];
    if (to === undefined || last < 0) return;
    e.preventDefault();
    this.moveTo(Math.max(0, Math.min(last, to)));
    this.live.textContent = `${this.value.textContent}: ${this.text(this.rows[this.at])}`;
  }

  onPointer(e) {
    const box = this.svg.getBoundingClientRect(), last = this.rows.length - 1;
    if (last < 0) return;
    const at = this.rows[last].at - (1 - (e.clientX - box.left) / box.width) * KEPT * $("every").value * 1e6;
    this.moveTo(this.rows.reduce((best, r, i) => Math.abs(r.at - at) < Math.abs(this.rows[best].at - at) ? i : best, last));
  }
}
Chart.count = 0;

const charts = {
  requests: new Chart("Requests per second, by status", short, { stacked: true, colours: { "2xx": 2, "3xx": 0, "4xx": 4, "5xx": 5, none: 6 } }),
  latency: new Chart("Time to answer", span),
  calls: new Chart("System calls per second", short, { stacked: true, most: MOST }),
  perRequest: new Chart("System calls per request", short),
  load: new Chart("Time with work, of each P", percent, { max: 100 }),
  balance: new Chart("Connections at home on each P", short),
  connections: new Chart("Connections by state", short, { stacked: true }),
  churn: new Chart("Connections per second", short),
  queue: new Chart("Accept queues", short),
  waits: new Chart("Coroutines by what they wait in", short, { stacked: true, most: MOST }),
  cpu: new Chart("CPU time, of one CPU", percent),
  memory: new Chart("Resident memory", bytes),
};

/* ---- tables ---- */

function fillTable(table, head, rows) {
  const cell = (c, first) => {
    if (c instanceof Node) return el("td", {}, c);
    return first ? el("th", { scope: "row" }, c) : el("td", {}, c);
  };
  table.replaceChildren(el("thead", {}, el("tr", {}, ...head.map(h => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...(rows.length ? rows.map(r => el("tr", {}, ...r.map((c, i) => cell(c, i === 0))))
      : [el("tr", {}, el("td", { colspan: head.length }, "none"))])));
}
function bar(share, isBad) {
  const width = isFinite(share) ? Math.max(0, Math.min(100, share)) : 0;
  return el("span", { class: "track", "aria-hidden": "true" },
    el("span", { class: isBad ? "bar bad" : "bar", style: `width:${width}%` }));
}
const marked = (text, isBad) => isBad ? el("strong", { class: "bad" }, text) : text;

/* ---- what has changed ---- */

const sumHttp = (s, f) => s.http.reduce((sum, h) => sum + f(h), 0);
const byName = list => Object.fromEntries(list.map(c => [c.name, c]));
const sumOf = object => Object.values(object).reduce((a, b) => a + b, 0);

/* The quantile of what came between two snapshots; buckets end at 2^(i + 8) ns. */
function quantile(buckets, share) {
  const n = buckets.reduce((a, b) => a + b, 0);
  let left = n * share;
  if (n <= 0) return NaN;
  for (let i = 0; i < buckets.length; i++) {
    if (left <= buckets[i]) {
      const low = i ? 2 ** (i + 7) : 0;
      return low + (2 ** (i + 8) - low) * left / buckets[i];
    }
    left -= buckets[i];
  }
  return NaN;
}
function bucketsSince(a, b) {
  return b.map((n, i) => Math.max(0, n - (a ? a[i] : 0)));
}
function httpBuckets(s) {
  const sum = [];
  for (const h of s.http) h.times.buckets.forEach((n, i) => { sum[i] = (sum[i] || 0) + n; });
  return sum;
}
function statusClasses(s) {
  const sum = {};
  for (const h of s.http)
    for (const [code, n] of Object.entries(h.status)) {
      const c = code === "0" ? "none" : code[0] + "xx";
      sum[c] = (sum[c] || 0) + n;
    }
  return sum;
}

/* ---- a new snapshot ---- */

function showCharts(a, b, s, requests) {
  const at = b.at_ns, rate = (x, y) => (y - x) / s;
  const classesA = statusClasses(a), classesB = statusClasses(b), requestRates = {};
  for (const c of Object.keys(classesB)) requestRates[c] = rate(classesA[c] || 0, classesB[c]);
  charts.requests.add(at, requestRates);
  const since = bucketsSince(httpBuckets(a), httpBuckets(b));
  charts.latency.add(at, { p50: quantile(since, .5), p90: quantile(since, .9), p99: quantile(since, .99) });

  const callsA = byName(a.total.calls), rates = b.total.calls.map(c =>
    [c.name, rate(callsA[c.name] ? callsA[c.name].calls : 0, c.calls)]).filter(c => c[1] > 0);
  charts.calls.add(at, Object.fromEntries(rates));
  charts.perRequest.add(at, { calls: requests > 0 ? rates.reduce((x, c) => x + c[1], 0) / requests : NaN });

  charts.load.add(at, ofEachProc(b.procs.map((p, i) => busyShare(a.procs[i], p, s))));
  charts.balance.add(at, ofEachProc(b.procs.map(p => p.connections)));
  charts.connections.add(at, { busy: Math.max(0, b.connections - b.at_rest - b.lingering), "at rest": b.at_rest, lingering: b.lingering });
  const closed = {};
  for (const [why, n] of Object.entries(b.total.closed)) if (n > 0) closed["closed: " + why] = rate(a.total.closed[why], n);
  charts.churn.add(at, { opened: rate(opened(a), opened(b)), ...closed });
  const queues = Object.fromEntries(b.listeners.filter(l => l.queued >= 0).map(l => [l.address, l.queued]));
  charts.queue.add(at, b.listen_overflows >= 0 ? { ...queues, "overflows/s, of the machine": rate(a.listen_overflows, b.listen_overflows) } : queues);
  charts.waits.add(at, { runnable: b.total.runnable, ...b.waits });
  charts.cpu.add(at, { CPU: cpuShare(a, b, s) });
  charts.memory.add(at, { resident: b.resident_bytes });
}
const opened = s => s.total.accepted + s.total.dialled + s.total.adopted;

const allCalls = p => p.calls.reduce((sum, c) => sum + c.calls, 0);
const cpuShare = (a, b, s) => (b.cpu_ns - a.cpu_ns) / 1e7 / s;

/* A line for each P, while they can be told apart: of more the table has each. */
function ofEachProc(values) {
  if (values.length <= MOST) return Object.fromEntries(values.map((v, i) => ["P " + (i + 1), v]));
  return { most: Math.max(...values), mean: values.reduce((x, v) => x + v, 0) / values.length, least: Math.min(...values) };
}

function busyShare(p, q, s) {
  if (!p) return NaN;
  return Math.max(0, Math.min(100, 100 * (1 - (q.asleep_ns - p.asleep_ns) / 1e9 / s)));
}

function showNow(a, b, s, requests) {
  const calls = x => allCalls(x.total), since = bucketsSince(httpBuckets(a), httpBuckets(b));
  const items = [
    ["Requests", short(requests) + "/s"], ["p99", span(quantile(since, .99))],
    ["System calls", short((calls(b) - calls(a)) / s) + "/s"],
    ["Calls a request", requests > 0 ? short((calls(b) - calls(a)) / s / requests) : "–"],
    ["CPU", percent(cpuShare(a, b, s))], ["Connections", short(b.connections)],
    ["Coroutines", short(b.total.runnable + b.total.parked)], ["Memory", bytes(b.resident_bytes)],
    ["Sent", bytes((sumHttp(b, h => h.bytes) - sumHttp(a, h => h.bytes)) / s) + "/s"]];
  $("now").replaceChildren(...items.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  $("facts").textContent = `runnel ${b.version}, ${b.poller}, ${b.procs.length} Ps, up ${age(b.uptime_ns)}, `
    + `${b.open_files < 0 ? "" : b.open_files + " descriptors, "}at most ${b.open_files_most}`
    + (b.open_files_before > 0 ? ` (raised from ${b.open_files_before})` : "");
}

const isLong = l => l.queued > 0 && l.queued >= l.queue_limit / 2;

function showTables(a, b, s) {
  const callsA = byName(a.total.calls);
  fillTable($("calls"), ["Call", "per s", "errors/s", "EAGAIN/s", "bytes/s", "p50", "p99", "max", "total", "errors"],
    b.total.calls.map(c => [c, callsA[c.name] || { calls: 0, errors: 0, again: 0, bytes: 0 }])
      .sort((x, y) => y[0].calls - x[0].calls).map(([c, o]) => [c.name, short((c.calls - o.calls) / s), short((c.errors - o.errors) / s),
        short((c.again - o.again) / s), c.bytes ? bytes((c.bytes - o.bytes) / s) : "", span(c.times.p50_ns), span(c.times.p99_ns),
        span(c.times.max_ns), short(c.calls), Object.entries(c.by_error).map(([e, n]) => `${e} ${short(n)}`).join(", ")]));
  fillTable($("procs"), ["P", "busy", "", "conns", "runnable", "parked", "calls/s", "events/poll", "switches/s", "steals", "turn now", "longest turn"],
    b.procs.map((p, i) => {
      const o = a.procs[i], busy = busyShare(o, p, s);
      return [String(i + 1), percent(busy), bar(busy), short(p.connections), short(p.runnable), short(p.parked),
        short((allCalls(p) - allCalls(o)) / s), short((p.events - o.events) / Math.max(1, p.polls - o.polls)), short((p.switches - o.switches) / s), short(p.steals),
        p.turn_ns > 0 ? marked(span(p.turn_ns), p.turn_ns > HELD_NS) : "asleep", span(p.longest_turn_ns)];
    }));
  const waits = Object.entries(b.waits), most = Math.max(1, ...waits.map(w => w[1]));
  fillTable($("waits"), ["Wait", "coroutines", ""], waits.map(([name, n]) => [name, short(n), bar(100 * n / most)]));
  fillTable($("listeners"), ["Address", "queued", "at most", ""], b.listeners.map(l =>
    [l.address, l.queued < 0 ? "–" : marked(short(l.queued), isLong(l)), l.queue_limit < 0 ? "–" : short(l.queue_limit),
      bar(100 * l.queued / l.queue_limit, isLong(l))]));
  fillTable($("slow"), ["Request", "took", "status", "ago"], b.http.flatMap(h => h.slow).sort((x, y) => y.took_ns - x.took_ns).slice(0, 8)
    .map(r => [r.what, span(r.took_ns), String(r.status || "–"), age(r.ago_ns)]));
  fillTable($("slow-calls"), ["Call", "took", "P", "ago"], b.slow_calls.map(c => [c.name, span(c.took_ns), String(c.proc || "–"), age(c.ago_ns)]));
}

function show(b) {
  const a = before;
  before = b;
  if (!b.counting) $("state").textContent = "Built without counters (stats=false): most figures are 0.";
  if (!a) return;
  const s = (b.at_ns - a.at_ns) / 1e9;
  if (s <= 0 || b.uptime_ns < a.uptime_ns || b.procs.length !== a.procs.length) { /* another process */
    for (const c of Object.values(charts)) c.clear();
    return;
  }
  const requests = (sumHttp(b, h => h.requests) - sumHttp(a, h => h.requests)) / s;
  showCharts(a, b, s, requests);
  showNow(a, b, s, requests);
  showTables(a, b, s);
  for (const c of Object.values(charts)) c.draw();
}

async function tick() {
  try {
    const answer = await fetch("/debug/stats.json", { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    const snapshot = await answer.json();
    if (failures) $("state").textContent = "";
    failures = 0;
    show(snapshot);
  } catch (e) {
    if (++failures === 1) $("state").textContent = "The program does not answer; trying again.";
  }
  plan();
}
function plan() {
  clearTimeout(timer);
  if (!paused) timer = setTimeout(tick, Number($("every").value));
}

/* ---- controls ---- */

function setPaused(on) {
  paused = on;
  $("pause").setAttribute("aria-pressed", on);
  if (on) clearTimeout(timer); else tick();
}
function setTables(on) {
  asTables = on;
  $("tables").setAttribute("aria-pressed", on);
  for (const c of Object.values(charts)) if (c.rows.length) c.draw();
}
$("pause").addEventListener("click", () => setPaused(!paused));
$("tables").addEventListener("click", () => setTables(!asTables));
$("every").addEventListener("change", plan);
document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.altKey || e.metaKey || /^(SELECT|INPUT)$/.test(e.target.tagName)) return;
  if (e.key === "p") setPaused(!paused);
  if (e.key === "t") setTables(!asTables);
});
addEventListener("resize", () => { for (const c of Object.values(charts)) if (c.rows.length) c.draw(); });
$("where").textContent = location.host;
document.title = `runnel ${location.host}`;
tick();
