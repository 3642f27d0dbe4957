#!/usr/bin/env python3
"""test_ptrace.py BUILD_DIR [NAME...] - `runnel trace` without BPF: its counts are those of strace and of BPF,
and who is traced does not notice."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from e2e import LIMIT, Program, RUNNEL, Skip, main, read_exactly, until
from tracing import TRACE, Tracer, counts_of, is_at_rest, settle, strace_counts, trace

NOBODY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--regid=65534",
          "--clear-groups"]
# A process of threads that come and go: so many calls of a name that nothing else makes.
THREADS = """
import os, threading
def call():
    for _ in range(3):
        os.sched_get_priority_max(0)
for _ in range(20):
    threads = [threading.Thread(target=call) for _ in range(5)]
    for t in threads: t.start()
    for t in threads: t.join()
"""


def by_ptrace(*argv, status=0):
    """The figures of a command."""
    p = trace("--ptrace", "--json", *argv, ok=False)
    assert p.returncode == status, p
    figures = figures_in(p.stdout)
    assert figures["by"] == "ptrace" and figures["lost"] == 0, figures
    return figures


def figures_in(text):
    return json.loads(text[text.index('{"seconds"'):])  # after what the command itself has said


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def tracer_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^TracerPid:\s+(\d+)", f.read(), re.M)[1])


def test_counts_are_those_of_strace_and_bpf():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with open(path, "wb") as f:
            f.write(b"x" * 200_000)
        for argv, status, more in ((["ls", folder], 0, []), (["cat", path, "/none", path], 1, []),
                                   (["dd", f"if={path}", "of=/dev/null", "bs=1000"], 0, []),
                                   (["sh", "-c", f"ls {folder}; ls {folder}; exit 3"], 3, ["-f"])):
            mine = counts_of(by_ptrace(*more, "--", *argv, status=status))
            for theirs in (strace_counts(*more, *argv),
                           counts_of(figures_in(trace("--json", *more, "--", *argv, ok=False).stdout))):
                assert mine == theirs, (argv, set(mine.items()) ^ set(theirs.items()))


def test_figures_agree_with_one_another():
    figures = by_ptrace("--", "sleep", "0.05")
    for c in figures["calls"]:
        assert 0 < c["p50_ns"] <= c["p99_ns"] <= c["max_ns"] <= c["total_ns"], c
    assert figures["calls"] == sorted(figures["calls"], key=lambda c: -c["total_ns"])
    slept, = (c for c in figures["calls"] if c["name"] == "clock_nanosleep")
    assert 50e6 <= slept["total_ns"] <= figures["seconds"] * 1e9
    histogram = json.loads(trace("--ptrace", "--json", "--latency", "clock_nanosleep", "sleep", "0").stdout)
    assert histogram["count"] == 1 and [b["count"] for b in histogram["buckets"]] == [1], histogram
    figures = by_ptrace("--calls", "read,openat", "true")
    assert set(counts_of(figures)) == {"read", "openat"}, figures


def test_threads_that_come_and_go_are_counted():
    counts = counts_of(by_ptrace("--", "python3", "-c", THREADS))
    assert counts["sched_get_priority_max"] == (300, 0), counts


def test_a_thread_may_become_another_program():
    code = ("import os, threading\n"
            "t = threading.Thread(target=lambda: os.execv('/bin/sh', ['sh', '-c', 'exit 5']))\n"
            "t.start(); t.join()")
    counts = counts_of(by_ptrace("--", "python3", "-c", code, status=5))
    assert counts["execve"] == (2, 0), counts


def test_children_are_followed_only_when_asked():
    for more, n in (([], 1), (["-f"], 3)):
        counts = counts_of(by_ptrace(*more, "--", "sh", "-c", "sh -c true; sh -c true; :"))
        assert counts["execve"] == (n, 0), counts


def test_exit_status_and_signals_are_passed_on():
    for code, status in (("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143),
                         ("trap 'exit 9' USR1; kill -USR1 $$; exit 1", 9)):
        by_ptrace("--", "sh", "-c", code, status=status)
    p = trace("--ptrace", "/no/such/program", ok=False)
    assert p.returncode == 127 and "/no/such/program: No such file" in p.stderr, p
    with subprocess.Popen([*TRACE, "--ptrace", "sh", "-c", "echo on; exec sleep 100"], text=True,
                          stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == "on\n"
        p.terminate()
        assert "execve" in p.communicate(timeout=LIMIT / 2)[0] and p.returncode == 0


def test_a_stopped_process_stays_stopped_until_it_is_continued():
    with subprocess.Popen(["sleep", "100"]) as p:
        tracer = Tracer(p.pid, "--ptrace")
        p.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1])
        p.send_signal(signal.SIGCONT)
        assert os.WIFCONTINUED(os.waitpid(p.pid, os.WCONTINUED)[1])
        until(lambda: state_of(p.pid) == "S", "it does not sleep on")
        p.send_signal(signal.SIGSTOP)
        os.waitpid(p.pid, os.WUNTRACED)
        tracer.end()
        assert tracer_of(p.pid) == 0
        until(lambda: state_of(p.pid) == "T", "it is not stopped any more")
        p.send_signal(signal.SIGCONT)
        until(lambda: state_of(p.pid) == "S", "it does not sleep on")
        p.terminate()


def test_who_cannot_be_stopped_is_not_waited_for():
    """One that waits in vfork(2) for its child, which opens a FIFO; beside it there is one that is not there."""
    with tempfile.TemporaryDirectory() as folder:
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        code = (f"import os; os.posix_spawn('/bin/true', ['true'], {{}}, "
                f"file_actions=[(os.POSIX_SPAWN_OPEN, 5, {fifo!r}, os.O_RDONLY, 0)])")
        with subprocess.Popen(["python3", "-c", code]) as p:
            until(lambda: state_of(p.pid) == "D", "it does not wait")
            try:
                ended = trace("--ptrace", "--pid", str(p.pid), "--pid", "4194305", ok=False)  # above PID_MAX_LIMIT
            finally:
                with open(fifo, "wb"):
                    assert p.wait(LIMIT / 2) == 0
            assert ended.returncode == 1 and "No such process" in ended.stderr, ended


def test_a_running_server_is_let_go_and_goes_on():
    with Program(RUNNEL, "echo", "--procs", "4", "127.0.0.1:PORT") as s:
        before = settle(s)
        for _ in range(2):
            tracer = Tracer(s.process.pid, "--ptrace")
            tids = [int(tid) for tid in os.listdir(f"/proc/{s.process.pid}/task")]
            assert len(tids) >= 4 and all(tracer_of(tid) == tracer.process.pid for tid in tids), tids
            for _ in range(4):
                with s.connect() as c:
                    for _ in range(10):
                        c.sendall(b"hello")
                        assert read_exactly(c, 5) == b"hello"
            until(lambda: is_at_rest(s.process.pid, before), "it closes nothing")
            counts = counts_of(tracer.end())
            assert counts["accept4"][0] - counts["accept4"][1] == 4, counts
            assert counts["sendto"] == (40, 0) and counts["close"] == (4, 0), counts
            assert all(tracer_of(tid) == 0 for tid in tids)
        assert s.end() == 0


def test_it_ends_with_its_target_or_after_its_time():
    with subprocess.Popen(["sleep", "100"]) as p:
        start = time.monotonic()
        assert trace("--ptrace", "--seconds", "1", "-p", str(p.pid)).stdout != ""
        assert time.monotonic() - start >= 1 and tracer_of(p.pid) == 0
        tracer = Tracer(p.pid, "--ptrace")
        again = trace("--ptrace", "-p", str(p.pid), ok=False)
        assert again.returncode == 1 and "traces it already" in again.stderr, again
        p.kill()
        out, err = tracer.process.communicate(timeout=LIMIT / 2)
        assert tracer.process.returncode == 0 and err == "", err
        json.loads(out)
    gone = trace("--ptrace", "-p", str(p.pid), ok=False)
    assert gone.returncode == 1 and f"process {p.pid}: No such process" in gone.stderr, gone


def test_a_thread_is_no_process():
    with Program(RUNNEL, "echo", "--procs", "2", "127.0.0.1:PORT") as s:
        pid = s.process.pid
        tid = next(tid for tid in map(int, os.listdir(f"/proc/{pid}/task")) if tid != pid)
        p = trace("--ptrace", "-p", str(tid), ok=False)
        assert p.returncode == 1 and f"{tid} is a thread; give its process: {pid}" in p.stderr, p


def test_own_processes_need_no_rights():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("not root, or no setpriv")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(RUNNEL, folder)  # the build directory may be closed to others

        def ask(*argv):
            return subprocess.run([*NOBODY, copy, "trace", *argv], capture_output=True, text=True,
                                  timeout=LIMIT / 2, check=False)

        p = ask("--json", "--", "cat", "/none")
        assert p.returncode == 1 and "by ptrace" in p.stderr, p
        assert counts_of(json.loads(p.stdout)) == strace_counts("cat", "/none")
        for wrap, status in ((NOBODY, 0), ([], 1)):
            with subprocess.Popen([*wrap, "sleep", "100"]) as other:
                exe = f"/proc/{other.pid}/exe"
                until(lambda e=exe: os.readlink(e) == os.path.realpath(shutil.which("sleep")), "no sleep")
                p = ask("--json", "--seconds", "1", "-p", str(other.pid))
                other.kill()
            assert p.returncode == status, (wrap, p)
        assert "Operation not permitted" in p.stderr and "sudo runnel trace" in p.stderr, p


main(globals())
