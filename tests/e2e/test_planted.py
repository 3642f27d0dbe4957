#!/usr/bin/env python3
"""test_planted.py BUILD_DIR - ASan, TSan and valgrind find planted bugs in coroutines, and nothing else."""
import os
import re
import shutil
import subprocess

from e2e import BUILD, Skip, main

PROGRAM = os.path.join(BUILD, "tests/planted")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "planted.c")
VALGRIND = ["valgrind", "-q", "--error-exitcode=99"]


def built_with(what):
    with open(os.path.join(BUILD, "meson-info/intro-buildoptions.json"), encoding="utf-8") as f:
        return re.search(r'"b_sanitize"[^}]*?"value": "([^"]*)"|"value": "([^"]*)"[^}]*?"b_sanitize"',
                         f.read()).group(0).find(what) >= 0


def run(name, *wrapper):
    out = subprocess.run([*wrapper, PROGRAM, name], capture_output=True, text=True, timeout=120, check=False,
                         env=dict(os.environ, ASAN_OPTIONS="detect_leaks=1", TSAN_OPTIONS=""))
    return out.returncode, out.stdout + out.stderr


def line_of(mark):
    with open(SOURCE, encoding="ascii") as f:
        return next(i for i, line in enumerate(f, 1) if f"MARK {mark}" in line)


def check_trace(said, mark, *functions):
    """The innermost frames in order, the first at the marked line; then runnel's beginning, and the end."""
    frames = re.findall(r"(?:#\d+ (?:0x[0-9a-f]+ in )?|(?:at|by) 0x[0-9A-F]+: )([\w.]+)(?: \(| )(\S*planted\.c:\d+)?",
                        said)
    names = [name for name, _ in frames]
    at = next((i for i in range(len(names)) if tuple(names[i:i + len(functions)]) == functions), None)
    assert at is not None, f"{functions} not in {names}\n{said}"
    assert frames[at][1].endswith(f"planted.c:{line_of(mark)}"), said
    after = names[at + len(functions):]
    assert after[:2] == ["rn__coro_main", "rn__trampoline"], f"then {after[:4]}\n{said}"


def needs(what):
    if what == "valgrind":
        if shutil.which("valgrind") is None:
            raise Skip("no valgrind")
        if built_with("address") or built_with("thread"):
            raise Skip("for the build without sanitizers")
    elif not built_with(what):
        raise Skip(f"for the build with the {what} sanitizer")


def check_clean(name, *wrapper):
    code, said = run(name, *wrapper)
    assert code == 0 and said.strip() == "done", said


CHAIN = ("innermost", "middle", "outer", "use_after_free")


def test_asan_finds_a_use_after_free():
    needs("address")
    code, said = run("use-after-free")
    assert code != 0 and "AddressSanitizer: heap-use-after-free" in said, said
    check_trace(said, "use", *CHAIN)
    freed = said[said.index("freed by thread"):]
    assert re.search(r"#1 \S+ in use_after_free", freed), said


def test_asan_finds_a_stack_buffer_overflow():
    needs("address")
    code, said = run("stack-overflow")
    assert code != 0 and "AddressSanitizer: stack-buffer-overflow" in said, said
    check_trace(said, "overflow", "fill", "stack_overflow")
    assert "'room'" in said, said


def test_asan_is_silent_where_there_is_no_bug():
    needs("address")
    check_clean("ordered")


def test_asan_sees_what_a_parked_coroutine_holds():
    needs("address")
    check_clean("holder")


def test_tsan_finds_a_race():
    needs("thread")
    code, said = run("race")
    assert code != 0 and "ThreadSanitizer: data race" in said, said
    check_trace(said, "race", "write_shared", "racer")


def test_tsan_is_silent_where_a_mutex_orders():
    needs("thread")
    check_clean("ordered")


def test_valgrind_finds_a_use_after_free():
    needs("valgrind")
    code, said = run("use-after-free", *VALGRIND)
    assert code == 99 and "Invalid read of size 1" in said, said
    check_trace(said, "use", *CHAIN)
    assert "switching stacks" not in said, said


def test_valgrind_finds_a_use_of_what_was_never_set():
    needs("valgrind")
    code, said = run("uninitialised", *VALGRIND)
    assert code == 99 and "Conditional jump or move depends on uninitialised" in said, said
    check_trace(said, "branch", "branch", "uninitialised")


def test_valgrind_is_silent_where_there_is_no_bug():
    needs("valgrind")
    code, said = run("holder", *VALGRIND)
    assert code == 0 and "done" in said and "==" not in re.sub(r"--\d+--.*", "", said), said


main(globals())
