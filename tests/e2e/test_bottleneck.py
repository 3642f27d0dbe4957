#!/usr/bin/env python3
"""test_bottleneck.py BUILD_DIR [NAME...] - the cases of docs/find-the-bottleneck.md show what it says."""
import os
import re
import signal
import subprocess

from e2e import BUILD, LIMIT, Skip, main

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
RUN = os.path.join(ROOT, "examples", "bottleneck", "run")


def run(case, requests):
    """{variant: text}, and {row: {variant: number}} of the table at the end."""
    signal.alarm(2 * LIMIT)
    p = subprocess.run([RUN, case, "--requests", str(requests), "--build", BUILD], capture_output=True,
                       text=True, timeout=LIMIT, check=False, env=dict(os.environ, RN_PROCS="2"))
    assert p.returncode == 0, (p.stdout, p.stderr)
    texts, _, table = p.stdout.rpartition("for each request")
    variants, *rows = table.splitlines()
    variants = variants.split()
    cells = [re.split(r" {2,}", row) for row in rows]
    return ({how: text for how, text in re.findall(r"^== \w+ ([\w-]+), (.*?)(?=^==|\Z)", texts, re.M | re.S)},
            {name: dict(zip(variants, map(float, values))) for name, *values in cells})


def test_many_short_connections():
    texts, calls = run("short-connections", 160)
    for how in ("one", "reuse-port"):
        assert calls["close"][how] > 0.95 and calls["accept4"][how] >= 1, calls
    accepted = {how: list(map(int, re.findall(r"^accepted by P \d: (\d+)", text, re.M)))
                for how, text in texts.items()}
    # 8 requests first, 160 untraced and 160 traced; and one to see that it listens, one for this.
    assert all(len(n) == 2 for n in accepted.values()), accepted
    assert min(accepted["one"]) == 0 and max(accepted["one"]) == 330, accepted
    assert min(accepted["reuse-port"]) > 0 and sum(accepted["reuse-port"]) == 330, accepted
    assert calls.get("write", {"reuse-port": 0})["reuse-port"] <= 0.02, calls
    assert calls["close"]["keep-alive"] <= 8 / 160 and calls["accept4"]["keep-alive"] <= 0.2, calls
    assert calls["all calls"]["keep-alive"] * 2 < calls["all calls"]["reuse-port"], calls


def test_small_writes():
    _, calls = run("small-writes", 160)
    for name, right in (("sendto", {"each": 50, "cork": 50, "writev": 0, "bufio": 1}),
                        ("sendmsg", {"each": 0, "cork": 0, "writev": 1, "bufio": 0})):
        # The last call has not returned when its bytes arrive, and may be missing.
        assert all(n - 0.1 <= calls[name][how] <= n for how, n in right.items()), calls
    for how in ("writev", "bufio"):
        assert calls["all calls"][how] * 10 < calls["all calls"]["each"], calls


def test_a_blocking_call():
    texts, _ = run("blocking-call", 8)
    for text in texts.values():
        assert re.search(r" 8 +clock_nanosleep$", text, re.M), text
    turn, answers = ({how: float(re.search(pattern, text)[1]) for how, text in texts.items()}
                     for pattern in (r"longest turn of P 1: (.*) ms", r"for each slow one: (.*)"))
    assert turn["here"] >= 20 and answers["here"] < answers["offload"], (turn, answers)
    assert "has held P 1 for" in texts["here"], texts["here"]
    if "without BPF" in texts["here"]:
        raise Skip("stacks need BPF")
    here = re.search(r"clock_nanosleep\(.* ms(.*)\n", texts["here"])[1]
    assert "in coroutine" in here and " started at rn_http_serve_conn" in here, here
    offload = re.search(r"clock_nanosleep\(.* ms(.*)\n", texts["offload"])[1]
    assert offload == "" and "thread_main+" in texts["offload"], texts["offload"]


def test_wrong_calls_are_told():
    for argv in ([], ["nonsense"], ["small-writes", "--requests", "7"], ["small-writes", "--requests", "x"]):
        p = subprocess.run([RUN, *argv], capture_output=True, text=True, timeout=LIMIT / 2, check=False)
        assert p.returncode == 2 and "usage: run" in p.stderr, p
    p = subprocess.run([RUN, "small-writes", "--build", "/none"], capture_output=True, text=True,
                       timeout=LIMIT / 2, check=False)
    assert p.returncode == 1 and "/none/examples/bottleneck_writes; build first" in p.stderr, p
    for name in ("blocking", "connections", "writes"):
        p = subprocess.run([os.path.join(BUILD, "examples", "bottleneck_" + name), "nonsense", ":0"],
                           capture_output=True, text=True, timeout=LIMIT / 2, check=False)
        assert p.returncode == 2 and p.stderr.startswith("usage: " + name), p


main(globals())
