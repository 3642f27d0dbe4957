#!/usr/bin/env python3
"""sum_tests.py NAME DIR STATUS - what the tests of a Meson build directory said, as
"passed failed skipped NAME" on one line; failures go to standard error, and make it exit 1.
sum_tests.py --total FILE - adds such lines up and ends with "N passed, N failed, N skipped"."""
import json
import os
import re
import sys

LINE = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)


def one(name, folder, status):
    log = os.path.join(folder, "meson-logs", "testlog.json")
    total = [0, 0, 0]
    tests = []
    if os.path.exists(log):
        with open(log) as f:
            tests = [json.loads(line) for line in f if line.strip()]
    for test in tests:
        out = test.get("stdout", "")
        lines = LINE.findall(out)
        ended_well = test["result"] in ("OK", "SKIP")
        if lines:
            counts = [int(n) for n in lines[-1]]
        else:
            counts = [int(test["result"] == "OK"), 0, int(test["result"] == "SKIP")]
        if not ended_well and counts[1] == 0:
            counts[1] = 1  # died without a word, or ran out of time
        for i in range(3):
            total[i] += counts[i]
        for line in re.findall(r"^skip .*$", out, re.M):
            print(f"{name}: {line}", file=sys.stderr)
        if not ended_well:
            print(f"--- {name}: {test['name']}: {test['result']}", file=sys.stderr)
            print(out[-6000:] + test.get("stderr", "")[-6000:], file=sys.stderr)
    if not tests or (int(status) != 0 and total[1] == 0):
        total[1] += 1
    print(*total, name)
    return total[1] != 0


def all_of(path):
    total = [0, 0, 0]
    with open(path) as f:
        for line in f:
            passed, failed, skipped, name = line.split()
            print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped")
            total = [a + int(b) for a, b in zip(total, (passed, failed, skipped))]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return total[1] != 0 or total[0] == 0


if sys.argv[1] == "--total":
    sys.exit(all_of(sys.argv[2]))
sys.exit(one(*sys.argv[1:4]))
