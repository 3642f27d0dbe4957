#!/usr/bin/env python3
"""test_bench.py BUILD_DIR [NAME...] - `runnel bench connections`: figures, limits set wrong, and ends of all kinds.

Other tests may run beside it: of the kernel's memory, which is the machine's, little is asserted."""
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from e2e import LIMIT, RUNNEL, Program, Skip, free_port, libc, main, read_exactly, until

QUICK = ("--hold", "0", "--active", "0")
BENCH = [RUNNEL, "bench", "connections"]


def bench(*argv, before=(), **more):
    return subprocess.run([*before, *BENCH, *argv], capture_output=True, text=True, timeout=LIMIT, check=False, **more)


def measure(*argv, **more):
    p = bench("--json", *argv, **more)
    assert p.returncode == 0, p
    return json.loads(p.stdout)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Running:
    """A bench under way, all of whose connections are open; its children must not outlive it."""

    def __init__(self, *argv):
        self.process = subprocess.Popen([*BENCH, "--active", "0", "--hold", "60", *argv], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: libc.prctl(1, signal.SIGKILL))
        until(lambda: len(children_of(self.process.pid)) == 2, "no children")
        self.children = children_of(self.process.pid)
        until(lambda: len(os.listdir(f"/proc/{self.children[1]}/fd")) > 100, "nothing opened")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self):
        """Its status and what it said, once no child is left."""
        out, err = self.process.communicate(timeout=LIMIT / 2)
        until(lambda: not any(is_alive(p) for p in self.children), "a child is left")
        assert out == "", out
        return self.process.returncode, err


# ---- figures ----

def test_the_figures_are_whole_and_plausible():
    f = measure("2000", "--hold", "1", "--seconds", "1", "--active", "50")
    assert f["connections"] == f["opened"] == f["alive"] == 2000, f
    assert f["service"] == "echo" and f["server"] is None and f["addresses"] >= 1, f
    assert f["server_processes"] == f["client_processes"] == 1 and f["server_threads"] >= 1, f
    assert 0 < f["open_seconds"] < LIMIT and f["listen_overflows"] >= 0 and f["packets_dropped"] >= 0, f
    memory = f["memory"]
    for side in ("user_server_bytes", "user_client_bytes"):
        assert 2000 * 100 < memory[side] < 2000 * 3000, memory
    assert f["rest"]["seconds"] >= 1 and 0 <= f["rest"]["server_cpu_ns"] < 2e9, f
    for times in (f["active"]["alone"], f["active"]["among"]):
        assert 0 < times["count"] <= 50 * 10 * 1 + 50, times
        assert 0 < times["p50_ns"] <= times["p99_ns"] <= times["max_ns"], times
        assert times["waited_ns"] is None or 0 <= times["waited_ns"] < 60e9, times
        assert 0 <= times["softirq"] <= times["busy"] <= 1 and times["probes"] >= 0, times


def test_what_round_trips_waited_for_is_told():
    """The processes share one CPU with others, which is busy then: they wait, and the figures say so."""
    if not os.path.exists("/proc/self/schedstat"):
        raise Skip("the kernel does not tell")
    cpu = min(os.sched_getaffinity(0))
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"],
                               preexec_fn=lambda: (os.sched_setaffinity(0, [cpu]), libc.prctl(1, signal.SIGKILL)))
              for _ in range(2)]
    try:
        f = measure("100", "--hold", "0", "--seconds", "2", "--procs", "1", before=("taskset", "-c", str(cpu)))
    finally:
        for p in others:
            p.kill()
            p.wait()
    for times in (f["active"]["alone"], f["active"]["among"]):
        assert times["waited_ns"] > 1e6 and times["busy"] > 0, times


def test_the_kernels_memory_is_told_and_what_it_is_of():
    with open("/proc/meminfo", encoding="ascii") as f:
        if "Slab:" not in f.read():
            raise Skip("the kernel does not tell")
    for _ in range(5):  # others take and give back, too
        memory = measure("4000", *QUICK)["memory"]
        sizes = {c["name"]: c["bytes"] for c in memory["slab_caches"]}
        if 4000 * 4000 < memory["kernel_bytes"] < 4000 * 40000 and sizes.get("TCP", 4000 * 3000) > 4000 * 2000:
            return
    raise AssertionError(memory)


def test_a_coroutine_for_each_costs_its_stack():
    at_rest, held = (measure("2000", *QUICK, *how)["memory"]["user_server_bytes"] for how in ((), ("--coroutines",)))
    assert held > 4 * at_rest and held > 2000 * 3000, (at_rest, held)


def test_the_table_says_the_same_for_people():
    p = bench("200", "--hold", "1", "--seconds", "1", "--procs", "1")
    assert p.returncode == 0 and p.stderr == "", p
    assert p.stdout.startswith("200 connections of echo to 1 runnel server with 1 thread, from 1 client process with")
    for line in (r"to open +[\d.]+ \w+ +[\d.]+ \w+  \d+ a second, from 1 address,",
                 r"user memory, server +[\d.]+ \w+ +[\d.]+ \w+  PSS", r"kernel memory +\S+ \w+ +\S+ \w+  both ends",
                 r"CPU at rest, server +[\d.]+ \w+ +[\d.]+%  of one CPU, in 1",
                 r"ROUND TRIPS +P50 +P99 +MAX +COUNT +WAITED +BUSY +SOFTIRQ +PROBES\n",
                 r"100 active, alone( +[\d.]+ \w+){3} +\d+ +([\d.]+ \w+|\?) +\d+% +\d+% +\d+\n",
                 r"100 active among 200( +[\d.]+ \w+){3} +\d+ +([\d.]+ \w+|\?) +\d+% +\d+% +\d+\n"):
        assert re.search("^" + line, p.stdout, re.M), (line, p.stdout)


def test_http_is_measured_too():
    f = measure("200", "--hold", "0", "--seconds", "1", "--http")
    assert f["service"] == "http" and f["alive"] == 200 and f["active"]["among"]["count"] > 0, f


def test_another_server_is_measured_by_its_pid():
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        f = measure("2000", *QUICK, "--server", f"127.0.0.1:{s.port}", "--pid", str(s.process.pid))
        assert f["server"] == f"127.0.0.1:{s.port}" and f["server_processes"] is None, f
        assert f["memory"]["user_server_bytes"] > 2000 * 100 and f["rest"]["server_cpu_ns"] >= 0, f
        f = measure("10", *QUICK, "--server", f"127.0.0.1:{s.port}")
        assert f["memory"]["user_server_bytes"] is None and f["rest"]["server_cpu_ns"] is None, f


def test_a_server_that_does_not_rest_is_seen():
    stop = []

    def spin():
        while not stop:
            pass

    with server(echo_once) as (address, _):
        t = threading.Thread(target=spin)
        t.start()
        try:
            f = measure("20", "--hold", "2", "--active", "0", "--server", address, "--pid", str(os.getpid()))
        finally:
            stop.append(True)
            t.join()
    assert f["rest"]["server_cpu_ns"] > 2e7 and f["memory"]["user_server_bytes"] is not None, f


# ---- limits ----

def limited(n):
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))}


def test_a_low_descriptor_limit_takes_more_processes():
    f = measure("1000", *QUICK, "--procs", "1", **limited(300))
    assert f["client_processes"] == f["server_processes"] == 5, f     # 300 less 64 and 4
    assert f["descriptor_limit"] == 300 and f["alive"] == 1000, f
    f = measure("90", "--processes", "3", "--seconds", "1", "--hold", "0")
    assert f["client_processes"] == 3 and f["active"]["connections"] == 90, f


def test_a_descriptor_limit_that_is_too_low_is_told_before():
    for argv in (("2000",), ("--processes", "1", "500")):
        p = bench(*argv, "--procs", "1", **limited(100 if len(argv) == 1 else 300))
        assert p.returncode == 1 and p.stdout == "", p
        assert "fail     nofile" in p.stderr and "now        prlimit --pid $$ --nofile=" in p.stderr, p
        assert f"{argv[-1]} connections are more than this machine is set up for (--force" in p.stderr, p


@contextlib.contextmanager
def tree(files):
    folder = tempfile.mkdtemp()
    try:
        for path, text in files.items():
            path = os.path.join(folder, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        yield folder
    finally:
        shutil.rmtree(folder)


WRONG = {
    "file_max": ({"proc/sys/fs/file-max": "9000\n", "proc/sys/fs/file-nr": "500 0 9000\n",
                  "proc/self/status": "CapEff:\t0\n"}, "now        sysctl -w fs.file-max=11524\n"),
    "max_user_watches": ({"proc/sys/fs/epoll/max_user_watches": "9000\n"},
                         "now        sysctl -w fs.epoll.max_user_watches=11024\n"),
    "max_map_count": ({"proc/sys/vm/max_map_count": "9000\n", "proc/sys/kernel/osrelease": "5.10.0\n"},
                      "now        sysctl -w vm.max_map_count="),
    "cgroup_memory": ({"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/memory.max": "1000000\n"},
                      "> ROOT/sys/fs/cgroup/x/memory.max\n"),
    "nf_conntrack_max": ({"proc/sys/net/netfilter/nf_conntrack_max": "4000\n",
                          "proc/sys/net/netfilter/nf_conntrack_count": "10\n"},
                         "now        sysctl -w net.netfilter.nf_conntrack_max="),
    "memory": ({"proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable: 20000 kB\n"}, "found      19 MiB available\n"),
}


def test_each_limit_set_wrong_is_told_before_anything_is_opened():
    for name, (files, advice) in WRONG.items():
        limits = {"proc/self/limits": "Max open files            20000                20000                files\n"}
        with tree({**limits, **files}) as root:
            p = bench("5000", "--root", root, "--coroutines")
        assert p.returncode == 1 and p.stdout == "", (name, p)
        assert re.findall(r"^fail +(\w+)", p.stderr, re.M) == [name], (name, p.stderr)
        assert advice.replace("ROOT", root) in p.stderr, (name, p.stderr)


def test_force_goes_on_all_the_same():
    with tree(WRONG["max_user_watches"][0]) as root:
        p = bench("5000", "--root", root, "--force", *QUICK, "--json")
    assert p.returncode == 0 and json.loads(p.stdout)["alive"] == 5000, p
    assert "fail     max_user_watches" in p.stderr and "going on all the same" in p.stderr, p


def test_descriptors_that_run_out_all_the_same_are_told():
    p = bench("1000", *QUICK, "--processes", "1", "--procs", "1", "--force", **limited(300))
    assert p.returncode == 1 and p.stdout == "", p
    assert "client process 1, connect of a connection: Too many open files" in p.stderr, p
    assert "by then it had opened " in p.stderr and "or take more --processes" in p.stderr, p


def in_network(setup, *argv):
    """In a network of its own, which is made ready by a command."""
    p = subprocess.run(["unshare", "-n", "sh", "-c", setup + '; "$@"', "sh", *BENCH, *argv], capture_output=True,
                       text=True, timeout=LIMIT, check=False)
    if "unshare failed" in p.stderr:
        raise Skip("not permitted to make a network namespace")
    return p


def test_few_ports_and_short_queues_are_worked_around():
    p = in_network("ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='40000 40003' net.core.somaxconn=1",
                   "200", *QUICK, "--json")
    if "permission denied" in p.stderr:
        raise Skip("not permitted to write to /proc/sys")
    assert p.returncode == 0, p
    f = json.loads(p.stdout)
    assert f["alive"] == f["addresses"] == 200, f     # one connection from each address: a quarter of the ports


def test_clients_of_one_server_share_no_address():
    """Of two ports, and as few addresses as it takes, more than two of them would not find one."""
    p = in_network("ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='40000 40001'; "
                   f"setpriv --pdeathsig KILL {RUNNEL} echo 127.0.0.1:7000 2>&- & trap 'kill $!' EXIT; "
                   "until grep -q '0100007F:1B58 00000000:0000 0A' /proc/net/tcp; do sleep 0.01; done",
                   "200", *QUICK, "--json", "--processes", "5", "--server", "127.0.0.1:7000")
    if "permission denied" in p.stderr:
        raise Skip("not permitted to write to /proc/sys")
    assert p.returncode == 0 and json.loads(p.stdout)["addresses"] == 200, p


def test_a_network_without_loopback_is_told():
    p = in_network("true", "200", *QUICK)
    assert p.returncode == 1 and p.stdout == "" and "ip link set lo up" in p.stderr, p


def test_memory_that_runs_out_stops_it():
    files = {"proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable: 20000 kB\n"}
    with tree(files) as root:
        p = bench("100", "--root", root, *QUICK)    # 100 fit: nothing is told before
        assert p.returncode == 1 and "only 19 MiB of memory are available" in p.stderr, p


AS_IT_COMES = {
    "proc/self/limits": "Max open files            1024                 524288               files\n",
    "proc/sys/fs/file-max": "800000\n",
    "proc/sys/fs/epoll/max_user_watches": "800000\n",
    "proc/sys/vm/max_map_count": "65530\n",
    "proc/sys/kernel/osrelease": "6.1.0-40-amd64\n",
    "proc/meminfo": "MemTotal: 32000000 kB\n",
    "proc/sys/net/ipv4/tcp_mem": "90000 120000 180000\n",
    "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
    "proc/sys/net/netfilter/nf_conntrack_count": "10\n",
}


def test_the_guide_tells_what_doctor_tells_for_a_million():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/many-connections.md"),
              encoding="utf-8") as f:
        rows = re.findall(r"^\| `(\w+)` \|.*\| `(.*)` \|$", f.read(), re.M)
    assert len(rows) >= 7, rows
    with tree(AS_IT_COMES) as root:
        p = subprocess.run([RUNNEL, "doctor", "--root", root, "--json", "-n", "1000000"], capture_output=True, text=True,
                           check=False)
    bad = {c["check"]: c["temporary"] for c in json.loads(p.stdout)["checks"] if c["state"] in ("warn", "fail")}
    bad.pop("btf", None)    # of `runnel trace`
    assert bad == dict(rows), (bad, rows)


# ---- servers that do not play along ----

def n_queued(ln):
    """tcp_info.tcpi_unacked, which of a listener is the length of its accept queue."""
    return struct.unpack_from("I", ln.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]


@contextlib.contextmanager
def server(handle, backlog=1000, late_s=None):
    """A listener that hands each connection to a function, which may keep it by returning True; late: so long after
    its queue is full."""
    kept = []
    with socket.socket() as ln:
        ln.bind(("127.0.0.1", 0))
        ln.listen(backlog)

        def run():
            if late_s is not None:
                until(lambda: n_queued(ln) > backlog, "nobody comes")
                time.sleep(late_s)
            with contextlib.suppress(OSError):
                while True:
                    c, _ = ln.accept()
                    if handle(c):
                        kept.append(c)
                    else:
                        c.close()

        t = threading.Thread(target=run)
        t.start()
        try:
            yield f"127.0.0.1:{ln.getsockname()[1]}", kept
        finally:
            ln.shutdown(socket.SHUT_RDWR)
            t.join()
            for c in kept:
                c.close()


def echo_once(c):
    c.sendall(read_exactly(c, 64))
    return True


def answer(text):
    def handle(c):
        c.recv(4096)
        c.sendall(text)
        return True
    return handle


def test_a_server_that_does_not_play_along_is_told():
    http = ("--http",)
    for handle, argv, told in (
            (lambda c: False, (), "the server has closed it"),
            (lambda c: True, ("--timeout", "1"), "nothing has happened for 1 s, with at least 0 of 20 connections open"),
            (answer(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), http, "not an answer with status 200"),
            (answer(b"HTTP/1.1 200 OK\r\n\r\n"), http, "not an answer with status 200"),
            (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"), http, "not an answer with status 200"),
            (answer(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000), http, "not an answer with status 200")):
        with server(handle) as (address, _):
            p = bench("20", *QUICK, "--server", address, *argv)
            assert p.returncode == 1 and p.stdout == "" and told in p.stderr, p
    p = bench("20", *QUICK, "--server", f"127.0.0.1:{free_port()}", "--pid", str(os.getpid()))
    assert p.returncode == 1 and "nobody listens there" in p.stderr, p
    assert f"runnel doctor --connections 20 --pid {os.getpid()}" in p.stderr, p


def test_a_short_accept_queue_is_told():
    with server(echo_once, backlog=1, late_s=1.0) as (address, _):
        p = bench("8", *QUICK, "--server", address)
        assert p.returncode == 0 and re.search(r"accept queue of this network was full \d+ times", p.stdout), p


def test_bodies_come_in_pieces():
    def handle(c):
        c.recv(4096)
        for piece in (b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 9000\r\n\r", b"\nx", b"y" * 8999):
            c.sendall(piece)
            time.sleep(0.01)
        return True

    with server(handle) as (address, _):
        p = bench("5", *QUICK, "--http=/x", "--server", address)
        assert p.returncode == 0, p


def test_connections_that_the_server_closes_meanwhile_are_counted():
    with server(echo_once) as (address, kept):
        def close_some():
            until(lambda: len(kept) == 50, "not opened")
            time.sleep(1)       # and it knows that they are
            for c in kept[:7]:
                c.close()

        t = threading.Thread(target=close_some)
        t.start()
        p = bench("50", "--active", "0", "--hold", "3", "--server", address, "--json")
        t.join()
        assert p.returncode == 1 and json.loads(p.stdout)["alive"] == 43, p
        assert "7 connections were closed meanwhile, by the server or" in p.stderr, p


# ---- ends ----

def test_a_signal_ends_it_and_its_children():
    for signo, word in ((signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended")):
        with Running("1000") as r:
            r.process.send_signal(signo)
            status, err = r.end()
            assert status == 128 + signo and err == f"runnel: bench: {word}; nothing is reported\n", (status, err)


def test_children_do_not_outlive_a_parent_that_is_killed():
    with Running("1000") as r:
        r.process.kill()
        assert r.end() == (-signal.SIGKILL, "")


def test_a_child_that_is_killed_ends_it_all():
    for i, who in ((0, "server"), (1, "client")):
        with Running("1000") as r:
            os.kill(r.children[i], signal.SIGKILL)
            status, err = r.end()
            assert status == 1 and f"{who} process 1 was ended by signal 9 (Killed)" in err, (status, err)


def test_a_child_that_hangs_is_killed_at_the_second_signal():
    with Running("1000") as r:
        os.kill(r.children[1], signal.SIGSTOP)
        r.process.send_signal(signal.SIGINT)
        assert "interrupted" in r.process.stderr.readline()
        time.sleep(0.1)
        assert is_alive(r.process.pid)
        r.process.send_signal(signal.SIGINT)
        assert r.end()[0] == 130


def inject(rule, *argv):
    if subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode:
        raise Skip("ptrace is not permitted")
    return subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=" + rule.split(":")[0],
                           "-e", "inject=" + rule, *BENCH, *argv], capture_output=True, text=True, timeout=LIMIT,
                          check=False)


def test_calls_that_fail_are_told_and_leave_nothing_behind():
    if shutil.which("strace") is None:
        raise Skip("no strace")
    for rule, told in (("socketpair:error=EMFILE:when=2", "cannot make a socket pair for process 2: Too many open files"),
                       ("signalfd4:error=EMFILE", "runnel: bench: Too many open files"),
                       ("clone:error=EAGAIN:when=2", "cannot start process 2: Resource temporarily unavailable"),
                       ("epoll_create1:error=EMFILE", "server process \\d, start: Too many open files"),
                       ("listen:error=EADDRINUSE", "server process \\d, start: Address already in use"),
                       ("epoll_ctl:error=ENOSPC:when=8+", "sysctl -w fs.epoll.max_user_watches=N"),
                       ("connect:error=EADDRNOTAVAIL:when=4", r"net.ipv4.ip_local_port_range\?"),
                       ("connect:error=ENOBUFS:when=4", "sysctl net.ipv4.tcp_mem")):
        p = inject(rule, "100", *QUICK, "--processes", "2", "--procs", "1", "--timeout", "5")
        assert p.returncode == 1 and p.stdout == "" and re.search(told, p.stderr), (rule, p)


def test_wrong_calls_are_told_and_exit_with_2():
    for argv in ([], ["0"], ["x"], ["10", "20"], ["--nope", "10"], ["--active", "11", "10"], ["--rate", "0", "10"],
                 ["--seconds", "x", "10"], ["--processes", "300", "10"], ["--pid", "1", "10"], ["--http=x", "10"],
                 ["--http=/a b", "10"], ["--server", "8.8.8.8:80", "10"], ["--server", "127.0.0.1", "10"],
                 ["--server", "127.0.0.1:80x", "10"], ["--server", "127.0.0.1:70000", "10"],
                 ["--server", "127.0.0.1:80", "--pid", "4194305", "10"], ["--server", "127.0.0.1:80", "-c", "10"],
                 ["--server", "127.0.0.1:80", "--procs", "2", "10"]):
        p = bench(*argv)
        assert p.returncode == 2 and p.stdout == "" and p.stderr != "", (argv, p)
    for argv in ([], ["nonsense"]):
        p = subprocess.run([RUNNEL, "bench", *argv], capture_output=True, text=True, check=False)
        assert p.returncode == 2 and p.stdout == "" and "Usage: runnel bench WHAT" in p.stderr, p
    for argv in (["--help"], ["connections", "--help"]):
        p = subprocess.run([RUNNEL, "bench", *argv], capture_output=True, text=True, check=False)
        assert p.returncode == 0 and p.stdout.startswith("Usage: runnel bench ") and p.stderr == "", p


main(globals())
