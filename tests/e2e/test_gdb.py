"""runnel-gdb.py on a live process and on a core file: test_gdb.py SCRIPT TARGET DEBUG_TARGET PROGRAM"""
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SCRIPT, TARGET, DEBUG_TARGET, PROGRAM = (os.path.abspath(a) for a in sys.argv[1:5])
counts = {"ok": 0, "not ok": 0, "skip": 0}


def gdb(*commands, args=()):
    """What gdb says to some commands."""
    line = ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", f"source {SCRIPT}"]
    for command in commands:
        line += ["-ex", f"echo >>> {command}\\n", "-ex", command]
    out = subprocess.run([*line, *args], capture_output=True, text=True, timeout=120, check=False,
                         stdin=subprocess.DEVNULL)
    return out.stdout + out.stderr


def answer(said, command):
    at = said.find(f">>> {command}\n")
    end = said.find("\n>>> ", at + 1)
    return said[at:end if end > 0 else len(said)]


def test(name, wrong, said=""):
    counts["not ok" if wrong else "ok"] += 1
    print(f"{'not ok' if wrong else 'ok'} {name}")
    if wrong:
        print(f"{wrong}\n{said}")


class Target:
    """The program, with its coroutines in place."""

    def __init__(self, program, **how):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how)
        self.pid, self.fd = map(int, re.match(r"(\d+) fd (\d+)", self.process.stdout.readline()).groups())
        assert self.process.stdout.readline() == "ready\n"
        end = time.monotonic() + 60
        while not self.is_in_place():
            assert time.monotonic() < end, "no offload"
            time.sleep(0.01)

    def is_in_place(self):
        """The two Ps and a thread of the pool are there, and the first P, having said so, sleeps."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            return len(os.listdir(f"/proc/{self.pid}/task")) == 3 and f.read().rsplit(")", 1)[1].split()[0] == "S"

    def ends_well(self):
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode == 0 and "goes on" in out


def wrong_list(said, fd):
    listed = answer(said, "info coroutines")
    for want in (r'"receiver" on P 1: parked in receive \(0x[0-9a-f]+\), started at 0x',
                 rf'"reader" on P 1: parked in read \(fd {fd}\)', r'"sleeper" on P 1: parked in sleep',
                 r'"looper" on P 2: running', r'"runnable" on P 2: runnable',
                 r'"main" on P 1: parked in offload'):
        if not re.search(want, listed):
            return f"not listed: {want}"
    return None if len(re.findall(r"^\d+ ", listed, re.M)) == 6 else "not six coroutines"


def numbers(said):
    return dict((name, n) for n, name in re.findall(r'^(\d+) "(\w+)"', answer(said, "info coroutines"), re.M))


CHAINS = {"receiver": ["rn_chan_recv", "third", "second", "first", "receiver", "rn__coro_main"],
          "reader": ["rn_read", "reader", "rn__coro_main"],
          "sleeper": ["rn_sleep", "sleeper", "rn__coro_main"],
          "looper": ["looper", "rn__coro_main"],
          "main": ["rn_offload", "run", "main_coroutine", "rn__coro_main"]}


def wrong_chain(said, number, name):
    """Each function of the chain, in order, frames counted from 0, the end at the trampoline."""
    shown = answer(said, f"coroutine {number} bt").replace("rn.", "rn__")
    frames = re.findall(r"^#(\d+) +(?:0x[0-9a-f]+ in )?([\w.]+)", shown, re.M)
    names = [n.split(".")[0] for _, n in frames]
    if [int(n) for n, _ in frames] != list(range(len(frames))):
        return "frames are not counted from 0"
    at = -1
    for want in CHAINS[name]:
        if want not in names[at + 1:]:
            return f"no {want} in {names}"
        at = names.index(want, at + 1)
    if names[-1] != "rn__trampoline":
        return f"ends in {names[-1]}"
    return "gdb complains" if "orrupt" in shown or "annot access" in shown else None


def check_all(kind, look, fd):
    """The list, then everybody's backtrace, by whatever `look` runs gdb on."""
    said = look("info coroutines")
    test(f"{kind}_lists_all_coroutines", wrong_list(said, fd), said)
    by_name = numbers(said)
    if set(CHAINS) - set(by_name):
        return {}
    said = look(*(f"coroutine {by_name[name]} bt" for name in CHAINS), "bt 1")
    for name in CHAINS:
        test(f"{kind}_shows_the_backtrace_of_{name}", wrong_chain(said, by_name[name], name), said)
    # After all that gdb looks where it looked before.
    back = answer(said, "bt 1")
    test(f"{kind}_is_left_as_it_was", None if re.search(r"^#0 ", back, re.M) and "switch" not in back
         else "another frame is selected", said)
    return by_name


def on_process(pid):
    return lambda *commands: gdb(*commands, args=("-p", str(pid)))


def check_core(folder):
    """The kernel's: gdb's own generate-core-file stops at the first guard of a stack (see docs/debugging.md)."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        pattern = f.read().strip()
    if pattern.startswith("|") or "/" in pattern:
        counts["skip"] += 1
        print(f"skip a_core: the kernel hands cores to {pattern}")
        return
    target = Target(TARGET, cwd=folder, preexec_fn=unlimit_cores)
    target.process.send_signal(signal.SIGABRT)
    target.process.communicate(timeout=60)
    cores = [name for name in os.listdir(folder) if "core" in name]
    if not cores:
        test("a_core_is_made", "no core")
        return
    core = os.path.join(folder, cores[0])
    check_all("a_core", lambda *commands: gdb(*commands, args=(TARGET, core)), target.fd)


def unlimit_cores():
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def check_messages(target):
    said = on_process(target.pid)("coroutine 1", "coroutine x bt", "coroutine 99999999 bt")
    for want in ("coroutine NUMBER|all COMMAND", "there is no coroutine 99999999"):
        test(f"told_{want.split()[0]}_{want.split()[-1]}", None if want in said else "not told", said)
    said = gdb("info coroutines", args=("/bin/true",))
    test("a_program_without_runnel_is_told", None if "no runnel in this program" in said else "not told", said)
    said = gdb("break main", "run", "info coroutines", args=("--args", PROGRAM, "--version"))
    test("a_program_without_a_runtime_is_told",
         None if "there is no runtime at present" in said else "not told", said)


def check_locals():
    target = Target(DEBUG_TARGET)
    by_name = numbers(on_process(target.pid)("info coroutines"))
    number = by_name.get("receiver", "0")
    said = on_process(target.pid)(f"coroutine {number} frame function third", f"coroutine {number} bt full",
                                  "coroutine all bt")
    shown = answer(said, f"coroutine {number} bt full")
    test("locals_are_shown_where_there_is_debug_information",
         None if "marker = 42" in shown and "gdb_target.c" in shown else "no marker = 42", said)
    shown = answer(said, "coroutine all bt")
    test("all_are_shown_in_one_command",
         None if all(f'"{name}"' in shown for name in CHAINS) and shown.count("rn__trampoline") +
         shown.count("rn.trampoline") >= 5 else "not all", said)
    test("and_it_goes_on_with_debug_information_too", None if target.ends_well() else "it does not")


def main():
    why = None
    if shutil.which("gdb") is None:
        why = "no gdb"
    else:
        target = Target(TARGET)
        if re.search(r"ptrace: Operation not permitted|Could not attach", on_process(target.pid)("info threads")):
            target.ends_well()
            why = "ptrace is not permitted"
    if why is not None:
        print(f"skip gdb_sees_coroutines: {why}\n0 passed, 0 failed, 1 skipped")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        check_core(folder)
    check_all("a_live_process", on_process(target.pid), target.fd)
    check_messages(target)
    test("a_process_that_was_looked_at_goes_on", None if target.ends_well() else "it does not")
    check_locals()
    print(f"{counts['ok']} passed, {counts['not ok']} failed, {counts['skip']} skipped")
    return int(counts["not ok"] > 0)


sys.exit(main())
