#!/usr/bin/env python3
"""backtrace.py PROGRAM [ARG]... - gdb stops in rn_listen, and the backtrace ends at the coroutine's
first frame. PROGRAM listens in a coroutine. Prints the harness' lines; exit 77 where gdb is missing
or may not trace."""
import re
import shutil
import subprocess
import sys


def backtrace(program):
    out = subprocess.run(
        ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "set breakpoint pending on",
         "-ex", "break rn_listen", "-ex", "run", "-ex", "backtrace", "-ex", "kill", "--args", program,
         *sys.argv[2:]],
        capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
    return out.stdout + out.stderr


def check(text):
    frames = re.findall(r"^#(\d+)\s+.*?([\w.]+) \(", text, re.M)
    names = [name for _, name in frames]
    if not names or names[0] != "rn_listen":
        return "no stop in rn_listen"
    # gdb may take the two underscores for another language's dot.
    if not re.fullmatch(r"rn(__|\.)trampoline", names[-1]):
        return f"the backtrace ends in {names[-1]}, not in rn__trampoline"
    if "corrupt" in text or "cannot access memory" in text.lower():
        return "gdb complains"
    return None


def main():
    if shutil.which("gdb") is None:
        print("skip gdb_stops_at_a_coroutines_first_frame: no gdb")
        print("0 passed, 0 failed, 1 skipped")
        return 77
    text = backtrace(sys.argv[1])
    if "ptrace: Operation not permitted" in text:
        print("skip gdb_stops_at_a_coroutines_first_frame: ptrace is not permitted")
        print("0 passed, 0 failed, 1 skipped")
        return 77
    wrong = check(text)
    print(f"{'not ok' if wrong else 'ok'} gdb_stops_at_a_coroutines_first_frame")
    if wrong:
        print(wrong)
        print(text)
    print(f"{int(not wrong)} passed, {int(bool(wrong))} failed, 0 skipped")
    return int(bool(wrong))


sys.exit(main())
