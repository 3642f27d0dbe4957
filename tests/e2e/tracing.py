"""tracing.py - what the tests of `runnel trace` share: running it, and strace's figures beside its."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from e2e import LIMIT, RUNNEL, SANITIZED, Skip, until

TRACE = [RUNNEL, "trace"]


def trace(*argv, ok=True, **more):
    p = subprocess.run([*TRACE, *argv], capture_output=True, text=True, timeout=LIMIT / 2, check=False, **more)
    assert not ok or p.returncode == 0, p
    return p


def need_bpf():
    p = trace("true")
    if "by ptrace" in p.stderr:
        raise Skip(p.stderr.splitlines()[0])


def counts_of(figures):
    return {c["name"]: (c["count"], c["errors"]) for c in figures["calls"]}


def strace_counts(*argv):
    """What strace -c says: {call: (count, errors)}."""
    if shutil.which("strace") is None:
        raise Skip("no strace")
    with tempfile.NamedTemporaryFile("r") as f:
        subprocess.run(["strace", "-c", "-o", f.name, *argv], capture_output=True, timeout=LIMIT / 2,
                       check=False)
        rows = [line.split() for line in f if re.match(r" *\d", line) and "total" not in line]
    return {r[-1]: (int(r[3]), int(r[4]) if len(r) == 6 else 0) for r in rows}


class Tracer:
    """A trace of a running process; end() ends it as Ctrl-C does, and gives its JSON."""

    def __init__(self, pid, *argv, first="tracing"):
        self.process = subprocess.Popen([*TRACE, "--json", "-p", str(pid), *argv], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        assert first in line, line + self.process.stderr.read()
        while "tracing" not in line:
            line = self.process.stderr.readline()
            assert line != ""

    def end(self):
        return json.loads(self.end_text())

    def end_lines(self):
        return [json.loads(line) for line in self.end_text().splitlines()]

    def end_text(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=LIMIT / 2)
        assert self.process.returncode == 0 and err == "", (self.process.returncode, err)
        return out


def n_sockets(pid):
    """How many sockets a process holds, which may close some while they are counted."""
    n, folder = 0, f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            n += os.readlink(os.path.join(folder, fd)).startswith("socket:")
    return n


def is_at_rest(pid, sockets):
    """Has it no more than so many sockets, and sleep all its threads? A socket that is gone may be in a close(2)
    that has not returned."""
    if n_sockets(pid) > sockets:
        return False
    for tid in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/task/{tid}/stat", encoding="ascii") as f:
                if f.read().rsplit(")", 1)[1].split()[0] != "S":
                    return False
    return True


def settle(echo):
    """Until nothing is under way in an echo server, not even the connection that has found it: what
    comes after that one has been answered, and both are closed. How many sockets are left."""
    with echo.connect() as c:
        c.sendall(b"x")
        assert c.recv(1) == b"x"
    until(lambda: is_at_rest(echo.process.pid, 1), "it closes nothing")
    return 1


def bpftrace(programs, *args, **how):
    """bpftrace for each of these programs, all of whose probes are attached: what stands around them tells so, for
    it says itself only that it begins to. A signal before that may hang it."""
    if shutil.which("bpftrace") is None or os.geteuid() != 0:
        raise Skip("no bpftrace, or not root")
    if SANITIZED:
        raise Skip("it says nothing about a build")
    first, last = ('interval:ms:50 { if (!@told%d) { @told%d = 1; printf("attached\\n"); } }' % (i, i) for i in (1, 2))
    tracers = [subprocess.Popen(["bpftrace", "-B", "line", "-e", f"{first} {p} {last}", *args],
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) for p in programs]
    try:
        for p in tracers:
            attaching = p.stdout.readline()
            if "Attaching" not in attaching:
                said = p.communicate()[1]
                assert "stdin:" not in said, said     # it does not understand the program
                raise Skip("bpftrace: " + attaching + said.splitlines()[-1])
            for _ in range(2):
                while p.stdout.readline() != "attached\n":
                    assert p.poll() is None, p.communicate()
    except BaseException:
        for p in tracers:
            p.kill()
            p.communicate()
        raise
    return tracers
