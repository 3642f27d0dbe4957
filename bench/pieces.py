"""bench/pieces.py - the workloads that are programs of their own, which print JSON: pieces of the
runtime, memory, copies, turns, pollers."""
import contextlib
import json
import os
import re
import shutil
import subprocess

from servers import LAYOUTS, say, spawn, stop


def run_json(setup, name, argv, timeout, pin=("taskset", "-c", "0")):
    """The lines of JSON that a program prints; with one P on one CPU, as the servers."""
    program = setup.tool(name)
    if not os.path.isfile(program):
        say(f"  {program} is not built")
        return []
    proc = spawn([*pin, program, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                 stderr=subprocess.PIPE, text=True)
    try:
        out, err = proc.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        say(f"  {name} did not end in {timeout} s")
        return []
    finally:
        stop(proc)
    if proc.returncode:
        say(f"  {name} failed with {proc.returncode}: {err.strip()[-500:]}")
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


# who, program, arguments, what is added to the names it prints
PIECES = [("runnel", "switch", ["1"], ""), ("runnel", "sync", ["1"], ""),
          ("go", "go_sync", ["1"], ""), ("st", "st_sync", [], ""),
          ("runnel", "switch", ["2"], ", 2 Ps"), ("runnel", "sync", ["2"], ", 2 Ps"),
          ("go", "go_sync", ["2"], ", 2 Ps"),
          ("runnel", "join", ["2"], ", 2 Ps"), ("go", "go_join", ["2"], ", 2 Ps")]


def measure_switch(setup, rounds, rows):
    """Programs that print lines {"name": ..., "ns": ...}."""
    for turn in range(rounds):
        say(f"switch: round {turn + 1} of {rounds}")
        for who, name, argv, suffix in PIECES:
            pin = () if argv == ["2"] else ("taskset", "-c", "0")
            for got in run_json(setup, name, argv, 120, pin):
                rows.append({"kind": "switch", "workload": got["name"] + suffix,
                             "round": turn + 1, "server": who, "ns": got["ns"]})


# title, who, program, arguments
PARKED = [(f"{count} parked, {stack}", who, program, argv + more)
          for count, n in (("100 000", "100000"), ("1 000 000", "1000000"))
          for stack, who, program, argv, more in (
              ("256 KiB stacks", "runnel", "memory", ["parked", n], ["0"]),
              ("64 KiB stacks", "runnel", "memory", ["parked", n], ["65536"]),
              ("Go", "go", "go_memory", [n], []))]
BURSTS = [(what, "runnel", "memory", ["burst", policy])
          for what, policy in (("MADV_DONTNEED (runnel)", "dontneed"), ("MADV_FREE", "free"),
                               ("keep them", "keep"))]
MEMORY_NEEDED = 6 << 30     # of a million coroutines, and some to spare


def available_bytes():
    with open("/proc/meminfo") as f:
        return 1024 * int(re.search(r"^MemAvailable:\s+(\d+)", f.read(), re.M)[1])


def measure_memory(setup, rounds, rows):
    for turn in range(rounds):
        say(f"memory: round {turn + 1} of {rounds}")
        for what, who, program, argv in PARKED + BURSTS:
            if "1000000" in argv and available_bytes() < MEMORY_NEEDED:
                say(f"  {what}: skipped, it needs {MEMORY_NEEDED >> 30} GiB")
                continue
            for got in run_json(setup, program, argv, 180):
                rows.append({"kind": "memory", "workload": what, "server": who, "round": turn + 1,
                             **got})


# who, program, arguments: "@l" and "@t" stand for the addresses to listen at and to go to
PROXIES = [("raw splice", "bench/proxy", ["splice"]), ("raw read+write", "bench/proxy", ["copy"]),
           ("Go io.Copy", "bench/go_proxy", []),
           ("rn_copy", "examples/example_proxy", ["@l", "@t"])]
# title, the mode of bench/forward, connections, a unit of its count, what the unit is called
FLOWS = [("bulk, 1 connection", "bulk", "1", 1e-9, "GB"),
         ("bulk, 4 connections", "bulk", "4", 1e-9, "GB"),
         ("64 B to and fro, 1 connection", "pingpong", "1", 1, "round trip"),
         ("64 B to and fro, 64 connections", "pingpong", "64", 1, "round trip")]


def forward(setup, flow, proxy, seconds, layout, wrap=()):
    """One flow through one proxy: what each unit has cost, or None."""
    _, mode, conns, scale, _ = flow
    program = os.path.join(setup.build, proxy[1])
    if not os.access(program, os.X_OK):
        say(f"  {proxy[0]}: skipped, there is no {program}")
        return None
    got = run_json(setup, "forward", [mode, conns, str(seconds), layout, *wrap, program, *proxy[2]],
                   seconds + 30, ())
    if not got:
        return None
    r, units = got[0], got[0]["units"] * scale
    return {"flow": flow[0], "server": proxy[0], "layout": layout, "cpu": r["cpu_ns"] / 1e9 / units,
            "rate": units / r["seconds"], "switches": r["switches"] / units,
            "all_units": r["all_units"] * scale, "waited": r["wait_ns"] / 1e9 / r["seconds"]}


def count_forward(setup, flow, proxy):
    out = os.path.join(setup.scratch, "perf.csv")
    r = forward(setup, flow, proxy, 1, "two", [shutil.which("perf"), "stat", "-x,", "-o", out, "-e",
                                               "raw_syscalls:sys_enter"])
    with contextlib.suppress(OSError):
        with open(out) as f:
            m = re.search(r"^(\d+),", f.read(), re.M)
        if r and m:
            return [{"kind": "forward-count", "workload": "copy", "flow": flow[0],
                     "server": proxy[0], "calls": int(m[1]) / r["all_units"]}]
    return []


def measure_copy(setup, args, tools, rows):
    for turn in range(args.rounds):
        say(f"copy: round {turn + 1} of {args.rounds}")
        for got in run_json(setup, "copy", ["1", "1"], 120, ()):
            rows.append({**got, "kind": "copy", "workload": "copy", "server": got["way"],
                         "round": turn + 1})
        shift = turn % len(PROXIES)
        for flow in FLOWS:
            for layout in LAYOUTS:
                for proxy in PROXIES[shift:] + PROXIES[:shift]:
                    got = forward(setup, flow, proxy, args.seconds, layout)
                    if got:
                        rows.append({**got, "kind": "forward", "workload": "copy",
                                     "round": turn + 1})
    if "raw_syscalls:sys_enter" in tools:
        for flow in FLOWS:
            for proxy in PROXIES:
                rows += count_forward(setup, flow, proxy)


def measure_turns(setup, rounds, rows):
    """bench/turns.c interleaves its rounds itself, and prints medians."""
    say("turns")
    for got in run_json(setup, "turns", [str(rounds)], 600, ()):
        rows.append({"kind": "turns", "workload": "turns", "server": got.pop("policy"), **got})


def measure_pollers(setup, rounds, rows):
    """bench/poller.c interleaves its rounds itself, and prints medians."""
    say("pollers")
    for got in run_json(setup, "poller", [str(rounds)], 600):
        rows.append({"kind": "pollers", "workload": "pollers", "server": got.pop("name"), **got})

