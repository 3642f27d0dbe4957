#!/usr/bin/env python3
"""test_probes.py BUILD_DIR [NAME...] - the USDT probes: those of the docs, with what the docs say they tell."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from e2e import BUILD, LIMIT, RUNNEL, Skip, main
from tracing import bpftrace

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TARGET = os.path.join(BUILD, "tests", "probe_target")
LIBRARY = os.path.join(BUILD, "src", "librunnel.so")


def guide():
    with open(os.path.join(ROOT, "docs", "observability.md"), encoding="utf-8") as f:
        return f.read()


def table():
    """{probe: how many arguments}"""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", guide().split("## Probes")[1], re.M)
    return {name: arguments.count(",") + 1 for name, arguments in rows}


def lines():
    return re.findall(r"^    bpftrace -e '(.*)'$", guide(), re.M)


def probes_of(path):
    """{probe: how many arguments}, of a program's notes."""
    out = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"Provider: runnel\n\s+Name: (\w+)\n.*Semaphore: (\w+)\n\s+Arguments: (.*)", out)
    assert len(found) == out.count("Provider: runnel"), out
    assert all(int(semaphore, 16) for _, semaphore, _ in found), found
    return {name: len(arguments.split()) for name, _, arguments in found}


def need_probes():
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as f:
        if not any("-DRN_USDT" in unit["command"] for unit in json.load(f)):
            assert probes_of(LIBRARY) == {}
            raise Skip("built without")


def test_the_library_has_the_probes_of_the_guide():
    need_probes()
    assert probes_of(LIBRARY) == table(), (probes_of(LIBRARY), table())


def test_a_static_program_has_those_that_it_reaches():
    need_probes()
    assert probes_of(TARGET) == table(), probes_of(TARGET)
    own = probes_of(RUNNEL)
    assert own.items() <= table().items(), own
    for name in "conn_accepted", "conn_closed", "http_request_done", "offload_ended", "coroutine_started":
        assert name in own, own


def test_gdb_stops_at_a_probe_and_shows_what_it_tells():
    need_probes()
    if shutil.which("gdb") is None:
        raise Skip("no gdb")
    with subprocess.Popen(["gdb", "-q", "-batch", "-ex", "break -probe-stap runnel:offload_ended", "-ex", "run",
                           "-ex", "printf \"told %d\\n\", $_probe_arg3", "-ex", "info symbol $_probe_arg0",
                           "-ex", "kill", TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as p:
        out = p.stdout.read()  # its input ends only now: the target goes on until it is killed
    assert "told 7" in out and "block in section .text" in out, out


def trace(programs, enough):
    """What bpftrace says to each of these programs, of the target, once enough(outputs) or after a while."""
    need_probes()
    signal.alarm(3 * LIMIT)
    target = subprocess.Popen([TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert target.stdout.readline() == "ready\n"
    tracers = []
    try:
        tracers = bpftrace([program.replace("PROGRAM", TARGET) for program in programs])
        enough(tracers)
        for p in tracers:
            p.send_signal(signal.SIGINT)
        outs = [p.communicate(timeout=LIMIT / 4) for p in tracers]
        assert all(p.returncode == 0 for p in tracers), outs
        target.communicate("", timeout=LIMIT / 2)
        assert target.returncode == 0
        return [out for out, _ in outs]
    finally:
        for p in [*tracers, target]:
            if p.poll() is None:
                p.kill()
            p.wait()


def test_the_bpftrace_lines_of_the_guide_work():
    programs = lines()
    assert len(programs) == 7, programs
    wanted = [r"@n\[202\]: \d+", r"POST /a/path 202, \d+ us", r"@us\[0\]:", r"@\[127.0.0.1:1, -111\]: \d+",
              r"@us\[block\]:", r"@us\[\w+\]:", r"P \d+: \d+ ms, started at "]
    for seconds in (1, 3, 9, 27):
        outs = trace(programs, lambda _, s=seconds: time.sleep(s))
        missing = [row for row in zip(programs, outs, wanted) if not re.search(row[2], row[1])]
        if not missing:
            return
    raise AssertionError(missing)


def test_each_probe_tells_what_the_guide_says():
    """One line each with all arguments, as numbers or, where they are one, as text."""
    texts = {("conn_dialled", 1), ("conn_dialled", 2), ("dial_failed", 1), ("dial_failed", 2), ("name_resolved", 0),
             ("http_request_done", 1), ("http_request_done", 2), ("coroutine_started", 2), ("coroutine_ended", 2)}
    names = {("offload_begun", 0), ("offload_ended", 0)}
    program = ""
    for name, n in table().items():
        words = ["str(arg%d)" % i if (name, i) in texts else "usym(arg%d)" % i if (name, i) in names
                 else "(int64)arg%d" % i for i in range(n)]
        formats = ["%s" if (name, i) in texts | names else "%ld" for i in range(n)]
        program += 'usdt:PROGRAM:runnel:%s { printf("%s;%s\\n", %s); } ' % (
            name, name, ";".join(formats), ", ".join(words))
    wanted = {
        "conn_accepted": r"\d+;\d+", "conn_adopted": r"\d+", "conn_dialled": r"\d+;tcp;(127.0.0.1|name.test):\d+;[1-9]\d+",
        "dial_failed": r"-111;tcp;127.0.0.1:1;[1-9]\d+", "conn_closed": r"\d+;[01]",
        "accept_paused": r"\d+;-24;[1-9]\d{6,}", "name_resolved": r"(name.test;1|nobody.test;-\d{4});[1-9]\d+",
        "http_request_done": r"\d+;POST;/a/path;202;[1-9]\d+;5", "offload_begun": r"block;-?\d+;[1-9]\d+",
        "offload_ended": r"block;-?\d+;[1-9]\d{6,};7", "coroutine_started": r"\d+;\d+;.*;\d+",
        "coroutine_ended": r"\d+;\d+;.*;\d+", "proc_held": r"[12];[1-9]\d+;[1-9]\d{7,};\d+;\d+;\d+"}
    assert set(wanted) == set(table())
    good, early = dict.fromkeys(wanted, 0), dict.fromkeys(wanted, 0)

    def enough(tracers):
        give_up = time.monotonic() + LIMIT / 2
        while time.monotonic() < give_up and min(good.values()) < 2:
            line = tracers[0].stdout.readline().rstrip("\n")
            name, _, rest = line.partition(";")
            if re.fullmatch(wanted[name], rest):
                good[name] += 1
            else:  # it began before the tracing did: no time
                early[name] += 1
                assert early[name] <= 2, line

    trace([program], enough)
    assert min(good.values()) >= 2, good


main(globals())
