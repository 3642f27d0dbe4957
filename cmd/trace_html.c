/*
 * trace_html.c - `runnel trace --html FILE`: connections as a timeline, on a page of its own
 *
 * The figures stand in the page as JSON, and a script draws a row for each connection: a bar for
 * each TCP state, a mark for the first call of each kind. The rows are text, too, for those who do
 * not see bars.
 */
#include <errno.h>
#include <stdio.h>

#include "trace.h"

static const char head[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>runnel trace: connections</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; font: 14px system-ui, sans-serif; }\n"
    "body { margin: 1em; }\n"
    "table { border-collapse: collapse; width: 100%; }\n"
    "td, th { text-align: left; padding: 2px 8px; white-space: nowrap; vertical-align: top; }\n"
    "td:last-child { width: 60%; min-width: 300px; }\n"
    "tr:nth-child(even) { background: #8881; }\n"
    "svg { width: 100%; height: 18px; }\n"
    "details { white-space: normal; }\n"
    ".axis { display: flex; justify-content: space-between; font-weight: normal; opacity: .7; }\n"
    ".key span { display: inline-block; width: 1em; height: 1em; margin: 0 4px 0 12px;"
    " vertical-align: middle; }\n"
    "</style>\n"
    "<h1>Connections</h1>\n"
    "<p id=\"what\"></p>\n"
    "<p class=\"key\" id=\"key\"></p>\n"
    "<p><label><input type=\"checkbox\" id=\"own\"> each from its own beginning, on the scale of "
    "the "
    "longest</label></p>\n"
    "<table><thead><tr><th>connection<th>closed first<th>read<th>written<th>lived"
    "<th><div class=\"axis\" id=\"axis\"></div></thead>"
    "<tbody id=\"rows\"></tbody></table>\n"
    "<script>\n"
    "\"use strict\";\n"
    "const conns = [\n";

static const char tail[] =
    "];\n"
    "const colours = {SYN_SENT: '#d9a400', SYN_RECV: '#d9a400', ESTABLISHED: '#2a9d55',\n"
    "  FIN_WAIT1: '#4c78c8', FIN_WAIT2: '#7a9be0', CLOSING: '#9467bd', TIME_WAIT: '#aaaaaa',\n"
    "  CLOSE_WAIT: '#d1495b', LAST_ACK: '#e58a96'};\n"
    "const marks = {connect: 'c', accept: 'a', read: 'r', write: 'w', shutdown: 's', close: 'x'};\n"
    "const span = ns => ns < 1e3 ? ns + ' ns' : ns < 1e6 ? (ns / 1e3).toFixed(1) + ' us'\n"
    "  : ns < 1e9 ? (ns / 1e6).toFixed(1) + ' ms' : (ns / 1e9).toFixed(2) + ' s';\n"
    "const make = (name, attributes, ...inside) => {\n"
    "  const svg = ['svg', 'rect', 'line', 'title'].includes(name);\n"
    "  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', name)\n"
    "    : document.createElement(name);\n"
    "  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);\n"
    "  e.append(...inside);\n"
    "  return e;\n"
    "};\n"
    "const ends = c => c.states.map(s => s.at_ns + s.ns)\n"
    "  .concat(Object.values(c.calls).map(f => f.last_ns));\n"
    "const born = c => Math.min(...c.states.map(s => s.at_ns), ...Object.values(c.calls).map(f => "
    "f.first_ns));\n"
    "conns.sort((a, b) => born(a) - born(b));\n"
    "const from = conns.length ? Math.min(...conns.map(born)) : 0;\n"
    "const to = Math.max(from + 1, ...conns.map(c => Math.max(...ends(c))));\n"
    "const lived = c => Math.max(1, Math.max(...ends(c)) - born(c));\n"
    "const longest = Math.max(1, ...conns.map(lived)), rows = document.getElementById('rows');\n"
    "let own = false;\n"
    "const place = (c, ns) => 1000 * (own ? (ns - born(c)) / longest : (ns - from) / (to - "
    "from));\n"
    "document.getElementById('what').textContent = conns.length + ' connections in '\n"
    "  + span(to - from) + '. Marks: the first connect, accept, read, write, shutdown and\\\n"
    " close.';\n"
    "for (const [name, colour] of Object.entries(colours))\n"
    "  document.getElementById('key').append(make('span', {style: 'background: ' + colour}), "
    "name);\n"
    "const draw = c => {\n"
    "  const x = ns => place(c, ns);\n"
    "  const line = make('svg', {viewBox: '0 0 1000 18', preserveAspectRatio: 'none', role: "
    "'img'});\n"
    "  const said = [];\n"
    "  for (const s of c.states) {\n"
    "    if (!colours[s.state]) continue;\n"
    "    said.push(s.state + ' ' + span(s.ns));\n"
    "    line.append(make('rect', {x: x(s.at_ns), width: Math.max(1, x(s.at_ns + s.ns) - "
    "x(s.at_ns)),\n"
    "      y: 2, height: 14, fill: colours[s.state]}, make('title', {}, s.state + ' ' + "
    "span(s.ns))));\n"
    "  }\n"
    "  for (const kind of Object.keys(marks)) {\n"
    "    const f = c.calls[kind];\n"
    "    if (!f) continue;\n"
    "    const text = kind + ': ' + f.count + ' calls, ' + span(f.ns) + ', the first after '\n"
    "      + span(Math.max(0, f.first_ns - born(c)));\n"
    "    said.push(text);\n"
    "    line.append(make('line', {x1: x(f.first_ns), x2: x(f.first_ns), y1: 0, y2: 18,\n"
    "      stroke: 'currentColor', 'vector-effect': 'non-scaling-stroke'}, make('title', {}, "
    "text)));\n"
    "  }\n"
    "  line.setAttribute('aria-label', said.join(', '));\n"
    "  const bytes = kind => c.calls[kind] ? c.calls[kind].bytes : 0;\n"
    "  rows.append(make('tr', {},\n"
    "    make('td', {}, c.local + (c.how == 'connected' ? ' -> ' : ' <- ') + c.remote + ' ' + "
    "c.name\n"
    "      + '[' + c.process + ']'),\n"
    "    make('td', {}, (c.is_reset ? 'reset: ' : '') + c.first_closer + (c.error ? ': ' + c.error "
    ": '')),\n"
    "    make('td', {}, bytes('read')), make('td', {}, bytes('write')),\n"
    "    make('td', {}, span(lived(c))),\n"
    "    make('td', {}, line, make('details', {}, make('summary', {}, 'as text'), said.join(', "
    "')))));\n"
    "};\n"
    "const drawAll = () => {\n"
    "  const all = own ? longest : to - from, axis = document.getElementById('axis');\n"
    "  axis.replaceChildren(...[0, .25, .5, .75, 1].map(k => make('span', {}, span(Math.round(k * "
    "all)))));\n"
    "  rows.replaceChildren();\n"
    "  conns.forEach(draw);\n"
    "};\n"
    "document.getElementById('own').addEventListener('change', e => { own = e.target.checked; "
    "drawAll(); });\n"
    "drawAll();\n"
    "</script>\n";

/* Before anything is traced: what cannot be written is better told then. */
int trace_open_html(struct trace *t)
{
    int r = 0;

    t->html = fopen(t->options.html, "we");
    if (t->html == NULL) {
        r = -errno;
        cmd_error("trace: cannot write %s: %s", t->options.html, rn_strerror(r));
    }
    return r;
}

int trace_write_html(struct trace *t)
{
    FILE *out = t->html;
    int r;

    fputs(head, out);
    for (size_t i = 0; i < t->n_conns; i++) {
        fputs("{", out);
        trace_print_conn(t, &t->conns[i], out);
        fputs("},\n", out);
    }
    fputs(tail, out);
    r = ferror(out) ? -EIO : 0;
    if (fclose(out) != 0 && r == 0)
        r = -errno;
    t->html = NULL;
    return r;
}
