"""bench/counting.py - what is counted for each request: system calls by perf and strace, instructions
by perf or callgrind. In rounds of their own, which are not timed."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from servers import (Failure, GatedClient, MADE_FOR_CALLGRIND, Server, WORKLOADS, run_client, say,
                     spawn, stop)


def count_with_perf(setup, server, workload, events):
    """Counts per request, over all of the server's threads, at nearly full speed."""
    requests = workload.counts[0]
    ctl_r, ctl_w = os.pipe()
    ack_r, ack_w = os.pipe()
    out = os.path.join(setup.scratch, "perf.csv")

    def tell(word):
        os.write(ctl_w, word.encode() + b"\n")
        if not os.read(ack_r, 16).startswith(b"ack"):
            raise Failure("perf stat ended early")

    try:
        with GatedClient(setup, server, workload, requests) as client:
            perf = spawn(["perf", "stat", "-x,", "-D", "-1", "--control", f"fd:{ctl_r},{ack_w}",
                          "-o", out, "-e", events, "-p", ",".join(map(str, server.pids()))],
                         pass_fds=(ctl_r, ack_w), stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
            os.close(ack_w)
            ack_w = -1
            tell("enable")
            client.go()
            tell("disable")
            stop(perf, signal.SIGINT)
        with open(out) as f:
            rows = [line.split(",") for line in f if "," in line]
        return {row[2]: int(row[0]) / requests for row in rows if row[0].isdigit()}
    finally:
        for fd in (ctl_r, ctl_w, ack_r, ack_w):
            if fd >= 0:
                os.close(fd)


def traced(pids):
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/status") as f:
                if "TracerPid:\t0\n" in f.read():
                    return False
    return True


def count_with_strace(setup, server, workload):
    """{call: times per request}. It slows the server, so that each epoll_wait finds more ready."""
    requests = workload.counts[1]
    out = os.path.join(setup.scratch, "strace.txt")
    with GatedClient(setup, server, workload, requests) as client:
        argv = ["strace", "-c", "-f", "-o", out]
        for pid in server.pids():
            argv += ["-p", str(pid)]
        strace = spawn(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        give_up = time.monotonic() + 10
        while not traced(server.pids()):
            if time.monotonic() > give_up or strace.poll() is not None:
                raise Failure("strace does not attach: "
                              f"{strace.stderr.read() if strace.poll() is not None else ''}")
            time.sleep(0.02)
        client.go()
        stop(strace, signal.SIGINT)
    calls = {}
    with open(out) as f:
        for line in f:
            m = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if m and m[2] != "total":
                calls[m[2]] = int(m[1]) / requests
    return calls


def by_function(dump, requests):
    """{function: user instructions per request}, its own, without those it calls."""
    text = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=100", dump], check=True,
                          capture_output=True, text=True).stdout
    functions = {}
    for m in re.finditer(r"^ *([\d,]+) (?:\([\d. %]+\) +)?\S*:([\w.@]+)(?:'\d+)?(?: \[|$)", text, re.M):
        functions[m[2]] = functions.get(m[2], 0) + int(m[1].replace(",", "")) / requests
    # What was under way when counting began, main and its like, is charged with all that came after.
    total = max(functions.values())
    return {f: n for f, n in functions.items() if n < 0.99 * total}


def count_with_callgrind(setup, peer, workload, functions=None):
    """User instructions per request; by function into `functions`, where it is a dict."""
    requests = workload.counts[2]
    out = tempfile.mkdtemp(prefix="callgrind-", dir=setup.scratch)
    # Below the hard limit, as valgrind keeps descriptors for itself and refuses more (libst ends).
    wrap = ["prlimit", "--nofile=4096:8192", "env", f"LD_PRELOAD={setup.tool('openat2.so')}",
            "valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}/cg"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 30}

    with Server(setup, peer, workload, wrap, single=True, patience=40) as server:
        run_client(setup, server, workload, "--requests", min(requests, 2000))
        with GatedClient(setup, server, workload, requests) as client:
            pid = str(server.proc.pid)
            subprocess.run(["callgrind_control", "-z", pid], check=True, **quiet)
            client.go()
            subprocess.run(["callgrind_control", "-d", pid], check=True, **quiet)
        total = 0
        for name in os.listdir(out):
            with open(os.path.join(out, name)) as f:
                n = sum(int(m[1]) for m in re.finditer(r"^totals: (\d+)", f.read(), re.M))
            total += n
            if n > 0 and functions is not None:
                functions.update(by_function(os.path.join(out, name), requests))
        if not total:
            raise Failure("callgrind wrote no totals")
        return total / requests


def perf_can(event):
    """An event the machine does not have is "<not supported>", with status 0."""
    if not shutil.which("perf"):
        return False
    r = subprocess.run(["perf", "stat", "-x,", "-e", event, "true"], capture_output=True, text=True)
    return r.returncode == 0 and r.stderr.split(",")[0].strip().isdigit()


def count(setup, peers, name, tools, rows):
    workload = WORKLOADS[name]
    events = [e for e in ("raw_syscalls:sys_enter", "instructions:u", "instructions:k")
              if e in tools]
    for peer in peers:
        row = {"kind": "count", "workload": name, "server": peer}
        say(f"{name}: counting {peer}")
        try:
            with Server(setup, peer, workload, layout="one") as server:
                run_client(setup, server, workload, "--requests", min(workload.counts[1], 2000))
                if events:
                    got = count_with_perf(setup, server, workload, ",".join(events))
                    row["calls"] = got.get("raw_syscalls:sys_enter")
                    row["instructions_user"] = got.get("instructions:u")
                    row["instructions_kernel"] = got.get("instructions:k")
                if "strace" in tools:
                    calls = count_with_strace(setup, server, workload)
                    row["calls_strace"] = sum(calls.values())
                    row["detail"] = " ".join(
                        f"{name} {n:.3g}" for name, n in sorted(calls.items(), key=lambda c: -c[1])
                        if n >= 0.005)
                    if row.get("calls") is None:
                        row["calls"] = row["calls_strace"]
            if "callgrind" in tools and peer in MADE_FOR_CALLGRIND:
                row["instructions_user"] = count_with_callgrind(setup, peer, workload)
        except (Failure, subprocess.SubprocessError, OSError) as e:
            say(f"  {peer}: not counted in full: {e}")
        rows.append(row)

