"""bench/report.py - the tables, from the rows that bench/run and its parts have filled."""
import csv
import os
import platform
import re
import statistics
import subprocess
import time

from clients import CLIENT_CONNS
from pieces import BURSTS, FLOWS, PARKED, PROXIES
from servers import HERE, IDLE_CONNS, WORKLOADS


def number(v):
    if v is None:
        return "–"
    v = float(v)
    if abs(v) >= 1000:
        return f"{v:,.0f}".replace(",", " ")
    return f"{v:.1f}" if abs(v) >= 100 else f"{v:.2f}"


def spread(values):
    if not values:
        return "–"
    return f"{number(statistics.median(values))} ({number(min(values))}..{number(max(values))})"


def ratio_in_rounds(mine, floor, key, least=0):
    """A floor that is not above `least` (its memory per connection) gives no ratio."""
    by_round = {r["round"]: r[key] for r in floor}
    ratios = [r[key] / by_round[r["round"]] for r in mine if by_round.get(r["round"], 0) > least]
    return f"{statistics.median(ratios):.2f}×" if ratios else "–"


def ratio(mine, floor):
    return f"{mine / floor:.2f}×" if mine is not None and floor else "–"


def print_table(head, lines):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print()


def notes_on(peer, mine, counted):
    notes = []
    errors, shaken = sum(r["errors"] for r in mine), sum(r["disturbed"] for r in mine)
    if counted.get("detail"):
        notes.append(f"calls per request (strace): {counted['detail']}")
    if mine[0]["said"]:
        notes.append(f"says: {mine[0]['said']}")
    if errors:
        notes.append(f"{errors} ERRORS")
    if shaken:
        notes.append(f"{shaken} of {len(mine)} rounds disturbed by other work")
    return [f"- {peer}: {note}" for note in notes]


def report_workload(name, peers, rows):
    workload = WORKLOADS[name]
    rows = [r for r in rows if r["workload"] == name]
    counts = {r["server"]: r for r in rows if r["kind"] == "count"}
    unit, base = workload.per[0], workload.base
    lines, notes = [], []

    def rounds(peer, layout):
        return [r for r in rows if r["kind"] == "round" and r["server"] == peer
                and r["layout"] == layout]

    for p in peers:
        one, two, c = rounds(p, "one"), rounds(p, "two"), counts.get(p, {})
        if not one or not two:
            continue
        line = [p]
        for key, mine, layout in (("cpu", one, "one"), ("cpu", two, "two"), ("units_s", two, "two"),
                                  ("p99_us", two, "two")):
            line += [spread([r[key] for r in mine]),
                     ratio_in_rounds(mine, rounds(base, layout), key)]
        for key in ("calls", "instructions_user"):
            line += [number(c.get(key)), ratio(c.get(key), counts.get(base, {}).get(key))]
        line += [" / ".join(f"{100 * statistics.median([r[key] for r in two]):.0f}"
                            for key in ("server_busy", "client_busy"))]
        lines.append(line)
        notes += notes_on(p, one + two, c)
    if lines:
        print(f"### {name}: {workload.title}\n")
        cpu = "CPU s" if unit == "GB" else "CPU µs"
        head = [f"{cpu}/{unit}", f"{cpu}/{unit}, two CPUs", f"{unit}s/s", "p99 µs",
                "calls/request", "user instr/request"]
        print_table(["server", *(h for column in head for h in (column, f"× {base}")),
                     "busy % server / client"], lines)
        print("\n".join(notes) + "\n")


def report_idle(peers, rows):
    lines = []
    floor = [r for r in rows if r["kind"] == "idle" and r["server"] == "floor"]
    for p in peers:
        mine = [r for r in rows if r["kind"] == "idle" and r["server"] == p]
        if mine:
            lines.append([p, spread([r["bytes_per_conn"] for r in mine]),
                          ratio_in_rounds(mine, floor, "bytes_per_conn", 1),
                          number(statistics.median([r["pss_before"] / 2**20 for r in mine])),
                          number(statistics.median([r["pss_after"] / 2**20 for r in mine]))])
    if lines:
        print(f"### idle: {IDLE_CONNS} keep-alive HTTP connections held, after one request each\n")
        print_table(["server", "user bytes/connection", "× floor", "PSS MiB before",
                     "PSS MiB after"], lines)


def report_clients(peers, rows):
    for client in dict.fromkeys(r["client"] for r in rows if r["kind"] == "clients"):
        of = {p: [r for r in rows if r["kind"] == "clients" and r["client"] == client
                  and r["server"] == p] for p in peers}
        print(f"### clients: {client}, {CLIENT_CONNS} connections, 100 B file\n")
        print_table(["server", "requests/s", "× floor", "CPU µs/request", "× floor"],
                    [[p, *(f(*a) for key in ("rps", "cpu")
                           for f, a in ((spread, ([r[key] for r in of[p]],)),
                                        (ratio_in_rounds, (of[p], of.get("floor", []), key))))]
                     for p in peers if of[p]])


def report_switch(rows):
    rows = [r for r in rows if r["kind"] == "switch"]
    names = list(dict.fromkeys(r["workload"] for r in rows))
    lines = []
    for name in names:
        of = {who: {r["round"]: r["ns"] for r in rows if r["workload"] == name and r["server"] == who}
              for who in ("runnel", "go", "st")}
        line = [name, spread(list(of["runnel"].values()))]
        for peer in ("go", "st"):
            ratios = [of[peer][t] / of["runnel"][t] for t in of["runnel"] if t in of[peer]]
            line += [spread(list(of[peer].values())),
                     f"{statistics.median(ratios):.2f}" if ratios else "–"]
        lines.append(line)
    if lines:
        print("### switch: pieces of the runtime alone\n")
        print_table(["what", "runnel ns", "Go ns", "Go / runnel", "State Threads ns",
                     "ST / runnel"], lines)


def report_turns(rows):
    rows = [r for r in rows if r["kind"] == "turns"]
    cpu = {(r["server"], r["connections"], r["cpus"]): f"{r['cpu_s_per_gb']:.3f}" for r in rows}
    policies = list(dict.fromkeys(r["server"] for r in rows))
    if rows:
        print("### turns: CPU s/GB to send files of 1 MiB, finishing each or taking turns\n")
        print_table(["connections", "CPUs", *policies],
                    [[str(conns), str(cpus), *(cpu[p, conns, cpus] for p in policies)]
                     for conns, cpus in dict.fromkeys((r["connections"], r["cpus"]) for r in rows)])


def report_pollers(rows):
    rows = [r for r in rows if r["kind"] == "pollers"]
    watched = list(dict.fromkeys(r["watched"] for r in rows))
    for active in dict.fromkeys(r["active"] for r in rows):
        ns = {(r["server"], r["watched"]): r["ns"] for r in rows if r["active"] == active}
        print(f"### pollers: ns for each ready event, {active} of all watched ready at a time\n")
        print_table(["poller", *(f"{n} watched" for n in watched)],
                    [[name, *(number(ns.get((name, n))) for n in watched)]
                     for name in dict.fromkeys(name for name, _ in ns)])


def report_memory(rows):
    def table(title, jobs, columns):
        lines = []
        for what, *_ in jobs:
            mine = [r for r in rows if r["kind"] == "memory" and r["workload"] == what]
            if mine:
                lines.append([what, *(spread([r[key] for r in mine]) for key, _ in columns)])
        if lines:
            print(f"### memory: {title}\n")
            print_table(["what", *(head for _, head in columns)], lines)

    table("each parked in a receive, per coroutine", PARKED,
          [("rss", "VmRSS bytes"), ("pte", "VmPTE bytes"), ("start_ns", "CPU ns to start and park"),
           ("end_ns", "CPU ns to wake and end"), ("rss_after", "VmRSS bytes when all have ended")])
    table("bursts of 10 000, by what is done with free stacks above 1024, per coroutine", BURSTS,
          [("cycle_ns", "CPU ns to start, park, wake, end"),
           ("rss_after", "VmRSS bytes between bursts"),
           ("free_after", "of them lazily free"), ("trimmed", "madvise calls")])


def ratio_spread(mine, base, key):
    by_round = {r["round"]: r[key] for r in base}
    return spread([r[key] / by_round[r["round"]] for r in mine if by_round.get(r["round"])])


def report_forward(flow, rows):
    title, mode, _, _, unit = flow
    what, scale = ("CPU s", 1) if mode == "bulk" else ("CPU µs", 1e6)
    raw, lines = "raw splice" if mode == "bulk" else "raw read+write", []

    def rounds(proxy, layout):
        return [r for r in rows if r["kind"] == "forward" and r["flow"] == title
                and r["server"] == proxy and r["layout"] == layout]

    for proxy, *_ in PROXIES:
        two, one = rounds(proxy, "two"), rounds(proxy, "one")
        if not two or not one:
            continue
        calls = [r["calls"] for r in rows if r["kind"] == "forward-count" and r["flow"] == title
                 and r["server"] == proxy]
        line = [proxy]
        for mine, layout in ((two, "two"), (one, "one")):
            line.append(spread([r["cpu"] * scale for r in mine]))
            line += [ratio_spread(mine, rounds(other, layout), "cpu")
                     for other in (raw, "Go io.Copy")]
        lines.append(line + [number(statistics.median(r["rate"] for r in two)),
                             number(calls[0] if calls else None),
                             number(statistics.median(r["switches"] for r in two))])
    if lines:
        print(f"### forwarding: {title}\n")
        against = [f"× {raw}", "× Go"]
        print_table(["proxy", f"{what}/{unit}", *against, f"on one CPU: {what}/{unit}", *against,
                     f"{unit} per s", f"calls/{unit}", f"switches/{unit}"], lines)


def report_copy(rows):
    sent = [r for r in rows if r["kind"] == "copy"]
    raw = [r for r in sent if r["way"] == "sendfile"]
    lines = []
    for way in dict.fromkeys(r["way"] for r in sorted(sent, key=lambda r: r["way"])):
        mine = [r for r in sent if r["way"] == way]
        lines.append([way, spread([r["gb_s"] for r in mine]), spread([r["cpu"] for r in mine]),
                      ratio_spread(mine, raw, "cpu"),
                      number(statistics.median(r["calls"] for r in mine)),
                      number(statistics.median(r["switches"] for r in mine))])
    if lines:
        print("### copy: a file in the page cache to a TCP connection\n")
        print_table(["way", "GB/s", "CPU s/GB", "× sendfile", "calls/GB", "switches/GB"], lines)
    for flow in FLOWS:
        report_forward(flow, rows)


def first_line(*argv):
    try:
        r = subprocess.run(argv, capture_output=True, text=True, timeout=10)
        return (r.stdout + r.stderr).strip().splitlines()[0] if r.returncode == 0 else "–"
    except (OSError, IndexError, subprocess.SubprocessError):
        return "–"


def report(setup, args, peers_of, tools, rows):
    model = "unknown CPU"
    with open("/proc/cpuinfo") as f:
        m = re.search(r"model name\s*: (.*)", f.read())
        model = m[1] if m else model
    disturbed = [r["disturbed"] for r in rows if r["kind"] == "round"]
    print(f"## bench/run, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC\n")
    print(f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}; commit "
          f"{first_line('git', '-C', HERE, 'rev-parse', '--short', 'HEAD')}; "
          f"{first_line('nginx', '-v')}; {first_line('go', 'version')}. "
          f"{args.rounds} rounds of {args.seconds:g} s at nice {args.nice}"
          f"; median (min..max); ratios are medians "
          f"of the ratios within a round. Counted by: {', '.join(sorted(tools)) or 'nothing'}. "
          f"{sum(disturbed)} of {len(disturbed)} rounds disturbed.\n")
    for workload in WORKLOADS:
        if workload in peers_of:
            report_workload(workload, peers_of[workload], rows)
    report_idle(peers_of.get("idle", []), rows)
    report_clients(peers_of.get("clients", []), rows)
    report_switch(rows)
    report_memory(rows)
    report_copy(rows)
    report_turns(rows)
    report_pollers(rows)


def write_csv(path, rows):
    names = list(dict.fromkeys(key for row in rows for key in row))
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, names)
        out.writeheader()
        out.writerows(rows)

