#!/usr/bin/env python3
"""test_trace.py BUILD_DIR [NAME...] - `runnel trace`: its figures beside strace's on the same program."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from browser import Browser, need_browser
from e2e import (GET, LIMIT, Program, RESET, RUNNEL, SANITIZED, Serve, Skip, free_port, main, read_all,
                 read_exactly, read_response, until)
from tracing import TRACE, Tracer, bpftrace, counts_of, is_at_rest, n_sockets, need_bpf, settle, strace_counts, trace
# Names of runnel's own counters that are not the kernel's.
OTHER_NAMES = {"recv": "recvfrom", "send": "sendto", "eventfd_write": "write", "fstatat": "newfstatat",
               "prlimit": "prlimit64"}


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


def wait_for_cat(p):
    """Until it has started, and read."""
    p.stdin.write(b"x")
    p.stdin.flush()
    assert p.stdout.read1(1) == b"x"


def test_wrong_calls_are_told_and_exit_with_2():
    for argv in ([], ["-p", "x"], ["-p", "0"], ["--seconds", "0", "true"], ["--nonsense", "true"], ["--slow", "10", "true"], ["--slow", "0ms", "true"],
                 ["--latency", "nonsense", "true"], ["--latency", "", "true"], ["--calls", "read,x", "true"],
                 ["--slow", "1ms", "--prometheus", ":0", "true"], ["--ptrace", "--slow", "1ms", "true"],
                 ["--summary", "--slow", "1ms", "true"], ["-c", "-l", "read", "true"], ["--html", "x", "-S", "true"],
                 ["--ptrace", "-c", "true"], ["--ptrace", "--prometheus", ":0", "true"]):
        p = trace(*argv, ok=False)
        assert p.returncode == 2 and p.stdout == "" and p.stderr != "", (argv, p)
    assert "Usage: runnel trace" in trace("--help").stdout


def test_what_is_missing_is_told_with_what_to_do():
    need_bpf()
    if os.geteuid() != 0:
        raise Skip("not root")
    for wrap, says in ((["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534"],
                        "CAP_BPF"),
                       (["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && \"$@\"",
                         "sh"], "CONFIG_DEBUG_INFO_BTF"),
                       (["unshare", "-r"], "user namespace")):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            copy = shutil.copy(RUNNEL, folder)  # the build directory may be closed to others
            if subprocess.run([*wrap, "true"], check=False).returncode:
                raise Skip(f"no {wrap[0]}")
            done, refused = (subprocess.run([*wrap, copy, "trace", *argv, "true"], capture_output=True,
                                            text=True, timeout=LIMIT / 2, check=False)
                             for argv in (["--json"], ["--slow", "10ms"]))
        assert done.returncode == 0 and "by ptrace" in done.stderr and says in done.stderr, done
        assert counts_of(json.loads(done.stdout))["execve"] == (1, 0), done
        assert refused.returncode == 1 and refused.stdout == "" and says in refused.stderr, refused
        assert "there are only --summary and --latency" in refused.stderr, refused


def test_counts_are_those_of_strace():
    need_bpf()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with open(path, "wb") as f:
            f.write(b"x" * 3_000_000)
        for argv, status, more in ((["ls", folder], 0, []), (["cat", path, "/none", path], 1, []),
                                   (["dd", f"if={path}", "of=/dev/null", "bs=1000"], 0, []),
                                   (["sh", "-c", f"ls {folder}; ls {folder}; exit 3"], 3, ["-f"])):
            p = trace("--json", *more, "--", *argv, ok=False)
            assert p.returncode == status, p
            mine = counts_of(json.loads(p.stdout[p.stdout.index('{"seconds"'):]))
            theirs = strace_counts(*more, *argv)
            assert mine == theirs, (argv, set(mine.items()) ^ set(theirs.items()))
        assert json.loads(trace("--json", "true").stdout)["lost"] == 0


def test_figures_agree_with_one_another():
    need_bpf()
    figures = json.loads(trace("--json", "--", "sleep", "0.05").stdout)
    for c in figures["calls"]:
        assert 0 < c["p50_ns"] <= c["p99_ns"] <= c["max_ns"] <= c["total_ns"], c
        assert c["mean_ns"] * c["count"] <= c["total_ns"] < (c["mean_ns"] + 1) * c["count"], c
    assert figures["calls"] == sorted(figures["calls"], key=lambda c: -c["total_ns"])
    slept, = (c for c in figures["calls"] if c["name"] == "clock_nanosleep")
    assert 50e6 <= slept["total_ns"] <= figures["seconds"] * 1e9
    text = trace("sleep", "0.05").stdout.splitlines()
    assert text[0].split() == "time total mean p50 p99 max calls errors call".split()
    assert any(line.endswith("  clock_nanosleep") for line in text[1:-1]) and " total, in " in text[-1], text


def test_a_running_server_of_many_threads_is_counted():
    need_bpf()
    with Program(RUNNEL, "echo", "--procs", "4", "127.0.0.1:PORT") as s:
        before = settle(s)
        tracer = Tracer(s.process.pid)
        n_conns, n_messages = 8, 50
        for _ in range(n_conns):
            with s.connect() as c:
                for _ in range(n_messages):
                    c.sendall(b"hello")
                    assert read_exactly(c, 5) == b"hello"
        until(lambda: is_at_rest(s.process.pid, before), "it closes nothing")
        counts = counts_of(tracer.end())
        writes = sum(counts.get(name, (0, 0))[0] for name in ("write", "sendto", "sendmsg"))
        reads = sum(counts.get(name, (0, 0))[0] for name in ("read", "recvfrom", "recvmsg"))
        taken = counts["accept4"][0] - counts["accept4"][1]
        assert taken == n_conns and n_conns * n_messages <= writes <= n_conns * n_messages + 100, counts
        assert reads >= n_conns * (n_messages + 1), counts
        assert s.process.poll() is None  # and it goes on
        assert counts_of(Tracer(s.process.pid).end()).get("accept4") is None


def test_several_processes_are_given_as_pidof_prints_them():
    need_bpf()
    with subprocess.Popen(["cat"], **PIPES) as p, subprocess.Popen(["cat"], **PIPES) as q:
        for cat in (p, q):
            wait_for_cat(cat)
        for between in (" ", ","):
            figures = json.loads(trace("--json", "--seconds", "1", "-p", f"{p.pid}{between}{q.pid}\n").stdout)
            assert sum(figures["under_way"].values()) == 2, figures
        p.stdin.close()
        q.stdin.close()
    for wrong in ("", " ", f"{os.getpid()},x"):
        assert trace("-p", wrong, ok=False).returncode == 2, wrong


def test_children_are_followed_only_when_asked():
    need_bpf()
    for more, n in (([], 1), (["-f"], 3)):
        p = trace("--json", *more, "--", "sh", "-c", "sh -c true; sh -c true; :")
        assert counts_of(json.loads(p.stdout))["execve"] == (n, 0), p.stdout


def test_numbers_are_those_of_the_own_pid_namespace():
    need_bpf()
    ns = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*ns, "true"], check=False).returncode:
        raise Skip("no pid namespace")
    out = subprocess.run([*ns, *TRACE, "--json", "-f", "--", "sh", "-c", "sh -c true; sh -c true; :"],
                         capture_output=True, text=True, timeout=LIMIT / 2, check=True).stdout
    assert counts_of(json.loads(out))["execve"] == (3, 0), out
    out = subprocess.run([*ns, *TRACE, "--json", "--slow", "40ms", "sh", "-c", "exec sleep 0.05"],
                         capture_output=True, text=True, timeout=LIMIT / 2, check=True).stdout
    slow = [json.loads(line) for line in out.splitlines()]     # the others are the machine's pauses
    assert any("nanosleep" in e["call"] for e in slow) and all(1 < e["process"] < 100 for e in slow), out


def test_it_ends_with_its_target_after_its_time_or_by_a_signal():
    need_bpf()
    with subprocess.Popen(["sleep", "100"]) as p:
        assert trace("--seconds", "1", "-p", str(p.pid)).stdout != ""
        tracer = Tracer(p.pid)
        p.kill()
        out, err = tracer.process.communicate(timeout=LIMIT / 2)
        assert tracer.process.returncode == 0 and err == "", err
        json.loads(out)
    gone = trace("-p", str(p.pid), ok=False)
    assert gone.returncode == 1 and f"process {p.pid}" in gone.stderr, gone
    gone = trace("/no/such/program", ok=False)
    assert gone.returncode == 127 and "/no/such/program: No such file" in gone.stderr, gone
    assert gone.stdout == "", gone
    with subprocess.Popen([*TRACE, "sh", "-c", "echo on; exec sleep 100"], text=True,
                          stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == "on\n"
        p.terminate()
        assert "execve" in p.communicate(timeout=LIMIT / 2)[0] and p.returncode == 0


def test_what_is_shown_goes_to_a_file_and_a_commands_output_does_not():
    need_bpf()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "figures")
        for more in ([], ["--ptrace"]):
            p = trace("--json", "-o", path, *more, "--", "echo", "hello")
            assert p.stdout == "hello\n" and p.stderr == "", p
            with open(path, encoding="utf-8") as f:
                assert counts_of(json.load(f))["execve"] == (1, 0)
        p = trace("-o", os.path.join(folder, "none", "figures"), "--", "touch", path + "2", ok=False)
        assert p.returncode == 1 and "cannot write" in p.stderr and not os.path.exists(path + "2"), p


def test_only_the_calls_asked_for_are_counted():
    need_bpf()
    figures = json.loads(trace("--json", "--calls", "read,openat", "true").stdout)
    assert set(counts_of(figures)) == {"read", "openat"}, figures


def test_a_histogram_holds_each_call():
    need_bpf()
    argv = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000", "status=none"]
    figures = json.loads(trace("--json", "--latency", "write", *argv).stdout)
    assert figures["name"] == "write" and figures["count"] == 1000 and figures["errors"] == 0, figures
    assert sum(b["count"] for b in figures["buckets"]) == 1000
    bounds = [b["at_most_ns"] for b in figures["buckets"]]
    assert bounds == sorted(bounds) and figures["max_ns"] <= bounds[-1]
    head, *rows = trace("--latency", "write", *argv).stdout.splitlines()
    assert head.startswith("write: 1000 calls, 0 errors, mean "), head
    assert sum(int(re.search(r"to +\S+ \S+ +(\d+)", row).group(1)) for row in rows) == 1000, rows


def test_a_histogram_is_drawn_anew_on_a_terminal():
    need_bpf()
    if shutil.which("script") is None:
        raise Skip("no script")
    out = subprocess.run(["script", "-qec", f"{RUNNEL} trace --latency execve -f -- "
                          "sh -c 'sleep 1.2; sleep 0.1'", "/dev/null"],
                         capture_output=True, text=True, timeout=LIMIT / 2, check=True).stdout
    assert re.search(r"\033\[\d+A\033\[J", out), out
    assert re.findall(r"execve: (\d+) calls", out)[-1] == "3", out


def test_slow_calls_are_told_with_their_stacks():
    need_bpf()
    out = trace("--slow", "400ms", "--", "sleep", "0.5").stdout     # in which its mappings are read
    assert re.search(r"sleep\[(\d+)/\1\] clock_nanosleep\(.*\) = 0, after \d", out), out
    assert "#0 0x" in out and "nanosleep+0x" in out and " in libc" in out, out
    assert trace("--slow", "60s", "--", "sleep", "0.05").stdout == ""
    with Program(RUNNEL, "echo", "--procs", "1", "127.0.0.1:PORT") as s:
        tracer = Tracer(s.process.pid, "--slow", "200ms", "--calls", "epoll_wait,epoll_pwait2")
        with s.connect() as c:
            c.sendall(b"1")
            assert c.recv(1) == b"1"
            until(lambda: is_at_rest(s.process.pid, 2), "it does not wait")
            time.sleep(0.3)
            c.sendall(b"2")
            assert c.recv(1) == b"2"
        slow = tracer.end_lines()
        assert slow and all(e["process"] == s.process.pid and e["ns"] >= 200e6 and
                            e["call"].startswith("epoll_") for e in slow), slow
        if not SANITIZED:  # there libasan's is the first
            assert any(f.startswith("rn__sched_loop+0x") and " in runnel+0x" in f
                       for e in slow for f in e["stack"]), slow


def test_calls_that_do_not_return_are_told_at_the_end():
    need_bpf()
    with subprocess.Popen(["cat"], **PIPES) as p:
        wait_for_cat(p)
        for more in ([], ["--ptrace"]):
            figures = json.loads(trace("--json", "--seconds", "1", *more, "-p", str(p.pid)).stdout)
            assert figures["under_way"] == {"read": 1}, figures
        assert "under way, by threads: read 1\n" in trace("--seconds", "1", "-p", str(p.pid)).stdout
        for begins in (False, True):    # before the tracing, and during it
            tracer = Tracer(p.pid, "--slow", "200ms")
            if begins:
                wait_for_cat(p)
            time.sleep(0.5)
            slow = tracer.end_lines()[-1]
            assert slow["call"] == "read" and slow["result"] is None and slow["args"][0] == 0, slow
            assert slow["name"] == "cat" and slow["file"].startswith("pipe:") and 200e6 <= slow["ns"] < 20e9, slow
        text = trace("--slow", "200ms", "--seconds", "1", "-p", str(p.pid)).stdout
        assert re.search(r"cat\[(\d+)/\1\] read\(0<pipe:.*\) has not returned after ", text), text
        assert trace("--slow", "200ms", "--seconds", "1", "-e", "write", "-p", str(p.pid)).stdout == ""
        p.stdin.close()


def test_a_slow_call_tells_its_path_file_or_connection_and_its_error():
    need_bpf()
    with tempfile.TemporaryDirectory() as folder:
        path, long = os.path.join(folder, "file"), os.path.join(folder, "\u00e9" * 100)
        with open(path, "wb") as f:
            f.write(b"x")
        out = trace("--slow", "1ns", "--calls", "openat,read,execve", "--", "cat", path, "/none", long, ok=False).stdout
    assert f'] openat(AT_FDCWD, "{path}", ' in out, out
    assert re.search(r'openat\(AT_FDCWD, "/none", 0[^)]*\) = -ENOENT, after', out), out
    assert f'openat(AT_FDCWD, "{long[:40]}' in out and re.search(r'\u00e9\??\.\.\.", ', out), out
    with tempfile.NamedTemporaryFile() as f, subprocess.Popen(
            ["python3", "-c", "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR)\nfor word in ('ready', 'done'):\n"
             "    print(word, flush=True); sys.stdin.readline(); os.fsync(fd)", f.name], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"ready\n"
        tracer = Tracer(p.pid, "--slow", "1ns", "--calls", "fsync")
        p.stdin.write(b"\n")
        p.stdin.flush()
        assert p.stdout.readline() == b"done\n"
        slow = tracer.end_lines()
        p.stdin.close()
    assert [e["file"] for e in slow] == [f.name] and "local" not in slow[0], slow
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        tracer = Tracer(s.process.pid, "--slow", "1ns", "--calls", "sendto,write")
        with s.connect() as c:
            ends = {"local": "127.0.0.1:%d" % s.port, "remote": "127.0.0.1:%d" % c.getsockname()[1]}
            c.sendall(b"1")
            assert c.recv(1) == b"1"
        slow = tracer.end_lines()
    assert any(ends.items() <= e.items() for e in slow), (ends, slow)


def talk(port):
    """Three connections to an echo server, each with another end."""
    with socket.create_connection(("127.0.0.1", port), LIMIT / 2) as c:    # closes first
        for _ in range(10):
            c.sendall(b"hello")
            assert read_exactly(c, 5) == b"hello"
    with socket.create_connection(("127.0.0.1", port), LIMIT / 2) as c:    # resets
        c.sendall(b"abc")
        assert read_exactly(c, 3) == b"abc"
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with socket.create_connection(("127.0.0.1", port), LIMIT / 2) as c:    # half-closes
        c.sendall(b"x" * 4000)
        c.shutdown(socket.SHUT_WR)
        assert read_all(c) == b"x" * 4000


def test_a_slow_call_tells_its_coroutine():
    need_bpf()
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        tracer = Tracer(s.process.pid, "--slow", "1ns", "--calls", "sendto,write,accept4,epoll_pwait2,epoll_wait")
        for _ in range(3):
            with s.connect() as c:
                c.sendall(b"1")
                assert c.recv(1) == b"1"
        calls = tracer.end_lines()
    sent = [e for e in calls if e["call"] in ("sendto", "write") and e["result"] == 1 and e["args"][2] == 1]
    assert len(sent) == 3, calls
    assert all(e["coroutine"]["started"].startswith("cmd_echo_once+0 in runnel+") for e in sent), sent
    assert any(e.get("coroutine", {}).get("name") == "accept" for e in calls), calls
    assert not any("coroutine" in e for e in calls if e["call"].startswith("epoll_")), calls


def counts_of_perf(*argv):
    with tempfile.NamedTemporaryFile("r") as out:
        p = subprocess.run(["perf", "trace", "-s", "-o", out.name, "--", *argv], capture_output=True,
                           text=True, timeout=LIMIT / 2, check=False)
        counts = {name: int(n) for name, n in re.findall(r"^ +(\w+) +(\d+) +\d+ +[\d.]+", out.read(), re.M)}
    if p.returncode or not counts:
        raise Skip("perf trace: " + p.stderr.strip()[:80])
    return counts


def test_counts_are_those_of_perf():
    need_bpf()
    if shutil.which("perf") is None or SANITIZED:
        raise Skip("no perf, or it says nothing about the build")
    argv = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000", "status=none"]
    mine = counts_of(json.loads(trace("--json", "--", *argv).stdout))
    for tries in range(10):
        # perf begins a moment later, and on a busy machine loses events, not always telling; strace, above, must
        # agree to the call.
        theirs = counts_of_perf(*argv)
        missing = [mine[name][0] - theirs.get(name, 0) for name in ("read", "write", "openat", "close", "dup2")]
        assert min(missing) >= 0, (mine, theirs)
        if max(missing) <= 2:
            return
    raise AssertionError((tries, mine, theirs))


def test_the_life_of_a_connection_is_told():
    need_bpf()
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        here, there = Tracer(os.getpid(), "--connections"), Tracer(s.process.pid, "-c")
        before = n_sockets(s.process.pid)
        talk(s.port)
        until(lambda: is_at_rest(s.process.pid, before), "the server closes nothing")
        ours, theirs = here.end_lines(), there.end_lines()
    ours = [c for c in ours if c["remote"] == f"127.0.0.1:{s.port}"]
    assert [c["how"] for c in ours] == ["connected"] * 3 and len(theirs) == 3, (ours, theirs)
    theirs = {c["remote"]: c for c in theirs}
    for a, (closer, reset, n) in zip(sorted(ours, key=lambda c: c["states"][0]["at_ns"]),
                                     (("here", False, 50), ("here", True, 3), ("here", False, 4000))):
        assert a["local"] in theirs, (a, theirs)
        b = theirs[a["local"]]
        assert b["local"] == a["remote"] and b["how"] == "accepted" and b["process"] == s.process.pid
        assert (a["first_closer"], a["is_reset"]) == (closer, reset), a
        assert (b["first_closer"], b["is_reset"]) == ("peer", reset), b
        assert b["error"] == ("Connection reset by peer" if reset else ""), b
        assert a["calls"]["read"]["bytes"] == a["calls"]["write"]["bytes"] == n, a
        assert b["calls"]["read"]["bytes"] == b["calls"]["write"]["bytes"] == n, b
        assert a["calls"]["connect"]["count"] == b["calls"]["accept"]["count"] == 1
        assert a["calls"]["close"]["count"] == b["calls"]["close"]["count"] == 1
        states = [x["state"] for x in b["states"]]
        middle = [] if reset else ["CLOSE_WAIT", "LAST_ACK"]
        assert states == ["SYN_RECV", "ESTABLISHED", *middle, "CLOSED"], states
        assert [x["state"] for x in a["states"]][:2] == ["SYN_SENT", "ESTABLISHED"], a
        for x, y in zip(b["states"], b["states"][1:]):
            assert x["at_ns"] + x["ns"] == y["at_ns"], b["states"]


def test_a_refused_and_an_open_connection_are_told():
    need_bpf()
    code = ("import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "try: socket.create_connection(('127.0.0.1', int(sys.argv[2])))\n"
            "except OSError: pass\n"
            "sys.stdin.read()")
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        with subprocess.Popen([*TRACE, "-c", "python3", "-c", code, str(s.port), str(free_port())],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            first, states, calls = (p.stdout.readline() for _ in range(3))
            p.terminate()
            rest = p.communicate(timeout=LIMIT / 2)[0]
        assert first.endswith("never established (Connection refused)\n"), first
        assert states.strip().startswith("states: SYN_SENT ") and states.endswith(", CLOSED\n"), states
        assert "connect 1 in " in calls and "1 errors" in calls, calls
        assert f"-> 127.0.0.1:{s.port}, connected by python3[" in rest and "ESTABLISHED" in rest, rest


def test_a_connect_that_fails_at_once_is_a_connection_of_its_own():
    """The next socket lies where the first one did."""
    need_bpf()
    code = ("import socket, sys\nfor a, port in ('255.255.255.255', 9), ('127.0.0.1', int(sys.argv[1])):\n    try:\n"
            "        with socket.socket() as s:\n            s.connect((a, port))\n    except OSError:\n        pass")
    conns = [json.loads(line) for line in trace("-c", "-j", "python3", "-c", code, str(free_port())).stdout.splitlines()]
    assert [(c["state"], c["calls"]["connect"]["count"]) for c in conns] == [("CLOSED", 1), ("CLOSED", 1)], conns
    assert conns[0]["states"] == [] and "unreachable" in conns[0]["error"], conns
    assert conns[1]["states"][0]["state"] == "SYN_SENT" and conns[1]["error"] == "Connection refused", conns


SCALE = "document.getElementById('own').click(), [...document.querySelectorAll('#axis span')].map(s => s.textContent)"


def test_the_timeline_has_two_scales():
    need_bpf()
    need_browser()
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "t.html")
        for talks in (True, False):     # without a connection there is a page, too
            tracer = Tracer(s.process.pid, "--html", path)
            if talks:
                talk(s.port)
                time.sleep(0.3)
                talk(s.port)
            assert len(tracer.end_lines()) == (6 if talks else 0)
            with Browser() as browser:
                browser.load("Page.navigate", url="file://" + path)
                bars = "[...document.querySelectorAll('#rows rect')].map(r => Number(r.getAttribute('x')))"
                before, axis, after = browser.evaluate(bars), browser.evaluate(SCALE), browser.evaluate(bars)
                assert not browser.told("Runtime.exceptionThrown")
            assert len(axis) == 5 and axis[0] == "0 ns" and "N" not in "".join(axis), axis
            if talks:
                assert max(before) > 500 and sum(x == 0 for x in after) >= 6, (before, after)


def test_the_timeline_is_drawn_by_a_browser():
    need_bpf()
    need_browser()
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "t.html")
        tracer = Tracer(s.process.pid, "--html", path)
        talk(s.port)
        assert len(tracer.end_lines()) == 3
        with open(path, encoding="utf-8") as f:
            page = f.read()
        assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "something from elsewhere"
        dom = subprocess.run(["/usr/bin/chromium", "--headless", "--no-sandbox", "--dump-dom",
                              "file://" + path], capture_output=True, text=True, timeout=LIMIT / 2,
                             check=True).stdout
        rows = re.search("<tbody.*</tbody>", dom, re.S).group()
        assert rows.count("<tr>") == 3 and rows.count("<svg") == 3 and "4000" in rows, dom
        assert "3 connections in" in dom and rows.count("ESTABLISHED") >= 3, dom


def test_a_timeline_that_cannot_be_written_is_told_before_the_command_runs():
    need_bpf()
    p = trace("--html", "/no/such/dir/t.html", "echo", "done", ok=False)
    assert p.returncode == 1 and p.stdout == "", p
    assert p.stderr == "runnel: trace: cannot write /no/such/dir/t.html: No such file or directory\n", p


def test_figures_can_be_collected_by_prometheus():
    need_bpf()
    port = free_port()
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        tracer = Tracer(s.process.pid, "--prometheus", f"127.0.0.1:{port}", first="metrics")
        url = f"http://127.0.0.1:{port}"
        with s.connect() as c:
            for _ in range(30):
                c.sendall(b"x")
                assert read_exactly(c, 1) == b"x"
        with urllib.request.urlopen(url + "/metrics", timeout=LIMIT / 2) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        try:
            urllib.request.urlopen(url + "/other", timeout=LIMIT / 2)
            assert False, "/other is there"
        except urllib.error.HTTPError as e:
            assert e.code == 404
        figures = tracer.end()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    name = next(n for n in ("write", "sendto", "sendmsg") if n in counts_of(figures))
    base = "runnel_trace_syscall_duration_seconds"
    assert 30 <= int(values[f'{base}_count{{syscall="{name}"}}']) <= counts_of(figures)[name][0], text
    assert values[f'{base}_bucket{{syscall="{name}",le="+Inf"}}'] == values[f'{base}_count{{syscall="{name}"}}']
    buckets = [int(v) for k, v in values.items() if k.startswith(f'{base}_bucket{{syscall="{name}"')]
    assert len(buckets) == 14 and buckets == sorted(buckets), buckets
    assert values["runnel_trace_processes"] == "1" and values["runnel_trace_lost_total"] == "0"
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=True, timeout=LIMIT / 2)


def test_the_bpftrace_lines_of_the_guide_work():
    with open(os.path.join(os.path.dirname(__file__), "../../docs/trace.md"), encoding="utf-8") as f:
        lines = re.findall(r"^    bpftrace -e '(.*)' PID$", f.read(), re.M)
    assert len(lines) == 5, lines
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        tracers = bpftrace(lines, str(s.process.pid))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with s.connect() as c:
                c.sendall(b"x")
                assert read_exactly(c, 1) == b"x"
            time.sleep(0.01)
        for p in tracers:
            p.send_signal(signal.SIGINT)
        for p, line in zip(tracers, lines):
            out, err = p.communicate(timeout=LIMIT / 2)
            assert p.returncode == 0 and re.search(r"@(?!told)|->", out), (line, out, err)


def test_counts_are_those_that_runnel_counts_itself():
    need_bpf()
    admin = free_port()
    with Serve("--admin", f"127.0.0.1:{admin}", "--procs", "2") as s:
        def own():
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/debug/stats.json", timeout=LIMIT / 2) as answer:
                calls = json.load(answer)["total"]["calls"]
            return {OTHER_NAMES.get(c["name"], c["name"]): (c["calls"], c["errors"] + c["again"]) for c in calls}

        own()  # starts the thread that takes the figures
        tracer = Tracer(s.process.pid)
        first = own()
        for i in range(5):
            with s.connect() as c:
                for path in [b"", b"style.css", b"none"] * 10 + [b"big.bin"] * (i == 4):
                    c.sendall(GET % path)
                    read_response(c)
        until(lambda: n_sockets(s.process.pid) == 2, "it closes nothing")
        second = own()
        traced = counts_of(tracer.end())
    more = {n: tuple(a - b for a, b in zip(second[n], first.get(n, (0, 0)))) for n in second}
    # What only files cause is the same to the call, errors and EAGAIN too.
    for name in ("sendfile", "preadv2", "openat2"):
        assert more[name] == traced[name] and more[name][0] > 0, (name, more, traced)
    assert more["sendfile"][1] > 0 and more["openat2"][1] > 0, more
    # Of the rest the trace has what the two requests for the figures did outside of the figures.
    for name, least in (("recvfrom", 150), ("sendto", 150), ("accept4", 5), ("close", 5), ("epoll_ctl", 5)):
        assert more[name][0] >= least and 0 <= traced[name][0] - more[name][0] <= 10, (name, more, traced)
    # A wait that began before the trace is in the figures only; each thread has one at most.
    mine, its = (sum(counts.get(n, (0, 0))[0] for n in ("epoll_wait", "epoll_pwait2")) for counts in (more, traced))
    assert mine >= 20 and -2 <= its - mine <= 10, (more, traced)


main(globals())
