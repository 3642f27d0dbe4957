#!/usr/bin/env python3
"""trace_cost.py RUNNEL [MESSAGES] - what tracing costs: `runnel trace` by BPF and by ptrace, strace -c, perf trace -s.

One client sends MESSAGES to `runnel echo`, one at a time; printed are messages a second, and CPU
time for each message, of the server and of the tracer. The runs are interleaved, five rounds; the
best is printed, for what disturbs only adds. A tracer that is not installed, or may not trace, is left out.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True      # beside the sources

from servers import cpu_ns

RUNNEL = os.path.abspath(sys.argv[1])
MESSAGES = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
ROUNDS = 5
TRACERS = {
    "nothing": None,
    "runnel trace": [RUNNEL, "trace", "-p"],
    "runnel trace --connections": [RUNNEL, "trace", "-c", "-p"],
    "runnel trace --slow 100ms": [RUNNEL, "trace", "-s", "100ms", "-e", "read,write", "-p"],
    "runnel trace --ptrace": [RUNNEL, "trace", "--ptrace", "-p"],
    "strace -c -f": ["strace", "-c", "-f", "-p"],
    "perf trace -s": ["perf", "trace", "-s", "-p"],
}


def start_tracer(argv, pid):
    p = subprocess.Popen([*argv, str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if "perf" in argv[0]:
        time.sleep(2)  # it does not say when it has begun
    else:
        p.stderr.readline()
    assert p.poll() is None, f"{argv[0]}: {p.stderr.read()}"
    return p


def measure(server, port, argv):
    """(messages a second, us of CPU for each)"""
    tracer = start_tracer(argv, server.pid) if argv else None
    with socket.create_connection(("127.0.0.1", port)) as c:
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pids = [p.pid for p in (server, tracer) if p]
        start, cpu = time.monotonic(), cpu_ns(pids)
        for _ in range(MESSAGES):
            c.sendall(b"hello")
            c.recv(16)
        seconds = time.monotonic() - start
        cpu = (cpu_ns(pids) - cpu) / 1e9
    if tracer:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    return MESSAGES / seconds, cpu / MESSAGES * 1e6


def main():
    server = subprocess.Popen([RUNNEL, "echo", "--procs", "1", "127.0.0.1:0"], stderr=subprocess.PIPE,
                              text=True)
    port = int(server.stderr.readline().split("127.0.0.1:")[1].split(",")[0])
    found = {name: argv for name, argv in TRACERS.items() if argv is None or shutil.which(argv[0])}
    results = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, argv in found.items():
            results[name].append(measure(server, port, argv))
    server.terminate()
    server.wait()
    print(f"{'tracer':<28}{'messages/s':>12}{'CPU us/message':>16}")
    for name, rows in results.items():
        print(f"{name:<28}{max(r[0] for r in rows):>12.0f}"
              f"{min(r[1] for r in rows):>16.2f}")


main()
