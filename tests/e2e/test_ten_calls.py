#!/usr/bin/env python3
"""test_ten_calls.py BUILD_DIR [NAME...] - the commands of docs/ten-calls.md show what stands below them."""
import os
import re
import shutil
import signal
import subprocess

from e2e import BUILD, LIMIT, SANITIZED, Skip, free_port, in_threads, main

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOOLS = ["strace", "socat", "curl", "ss", "bash"]
TRIES = 5


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


GUIDE = read(os.path.join(ROOT, "docs", "ten-calls.md"))


def blocks():
    """(command, lines to be seen) of each section."""
    return re.findall(r"^```sh\n(.*?)^```\n```text\n(.*?)^```", GUIDE, re.M | re.S)


def run(command, times):
    """Its output; all waits in it are so many times longer."""
    command = re.sub(r"\b(timeout|sleep) (\d+)", lambda m: f"{m[1]} {int(m[2]) * times}", command)
    command = command.replace("build/", BUILD + "/")
    p = subprocess.Popen(["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        # Apart: one's words must not come in the middle of another's line.
        return "\n".join(p.communicate(timeout=LIMIT))
    except subprocess.TimeoutExpired:
        return ""
    finally:
        try:
            os.killpg(p.pid, signal.SIGKILL)  # its own group: what it left running
        except ProcessLookupError:
            pass
        p.wait()


def as_pattern(line):
    """… is anything, and blanks are any number of blanks."""
    return re.compile(".*".join(r"\s+".join(re.escape(w) for w in part.split(" ")) for part in line.split("…")))


def first_missing(lines, output):
    """The first of the lines that the output does not have, or None."""
    for line in lines:
        if not any(as_pattern(line).search(o) for o in output.splitlines()):
            return line
    return None


def check(command, expected):
    for times in range(1, TRIES + 1):
        here, there = str(free_port()), str(free_port())
        renamed = [t.replace("7001", there).replace("7000", here) for t in (command, expected)]
        output = run(renamed[0], times)
        missing = first_missing(renamed[1].splitlines(), output)
        if missing is None:
            return
    raise AssertionError(f"{command}\nhas no line {missing}\nin:\n{output}")


def test_each_command_shows_what_the_guide_says():
    if SANITIZED:
        raise Skip("sanitizers and ptrace do not go together")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise Skip(f"no {tool}")
    signal.alarm(LIMIT * TRIES)
    all_of_them = blocks()
    in_threads(len(all_of_them), lambda i: check(*all_of_them[i]))


def test_each_section_has_a_command():
    sections = re.split(r"^## ", GUIDE, flags=re.M)[1:]
    assert len(sections) == 11, len(sections)
    for s in sections:
        assert len(re.findall(r"^```sh$", s, re.M)) == 1, s[:30]
        for part in ("*Errors*", "*Go*:", "*runnel*:"):
            assert part in s, (s[:30], part)
    assert len(blocks()) == len(sections)


def test_functions_that_the_guide_names_are_where_it_says():
    named = re.findall(r"((?:`\w+`,? ?(?:and )?)+)\((src/[\w/]+\.[ch])", GUIDE)
    assert len(named) > 10, named
    for names, path in named:
        text = read(os.path.join(ROOT, path))
        for name in re.findall(r"\w+", names):
            assert name == "and" or re.search(rf"\b{name}\(", text), (name, path)


main(globals())
