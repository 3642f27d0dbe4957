"""bench/servers.py - the servers and clients of bench/run as processes: how each is started, found ready,
pinned, and ended."""
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing

HERE = os.path.dirname(os.path.abspath(__file__))
# Which CPU each side is pinned to.
#   two  as in real life: requests/s and latency. But no client is much cheaper than the floor: a
#        server faster than the client sleeps and wakes for a handful of requests at a time, and is
#        the dearer per request the faster it is (the floor: 6 to 11 us in the same run).
#   one  the server runs when the client has nothing left to send and so always finds a full batch:
#        CPU time per request without that, within 5 % or so. SCHED_BATCH keeps it from preempting
#        the client at each request.
LAYOUTS = {"two": {"server": 0, "client": 1}, "one": {"server": 0, "client": 0}}
WARMUP_S = 0.3
DISTURBED = 0.03        # a round where either side waited longer than this share for its CPU
IDLE_CONNS = 15000
HELLO = b"Hello from a small file: one hundred bytes, as an answer of an API or a tiny icon has.\n"
HELLO += b"." * (99 - len(HELLO)) + b"\n"



class Workload(typing.NamedTuple):
    title: str
    mode: str               # of bench/load.c
    conns: int
    counts: tuple           # requests in a counting round: perf, strace, callgrind
    path: str = "/hello.txt"
    pipeline: int = 1
    base: str = "floor"     # what the ratios are to
    per: tuple = ("request", 1)     # the unit of CPU time, and how many of it a request is

    @property
    def kind(self):
        return "echo" if self.mode == "echo" else "http"


# path: bytes
FILES = {"/1k.bin": 1 << 10, "/64k.bin": 64 << 10, "/1m.bin": 1 << 20, "/64m.bin": 64 << 20}
WORKLOADS = {
    "echo": Workload("echo 64 B, 1000 connections", "echo", 1000, (200000, 30000, 30000)),
    "hello64": Workload("HTTP 100 B file, keep-alive, 64 connections", "http", 64,
                        (100000, 10000, 10000)),
    "hello512": Workload("HTTP 100 B file, keep-alive, 512 connections", "http", 512,
                         (100000, 10000, 10000)),
    "pipelined": Workload("HTTP 100 B file, 16 requests at a time, 64 connections", "http", 64,
                          (320000, 32000, 32000), pipeline=16),
    "close": Workload("HTTP 100 B file, new connection each, 64 at a time", "http-close", 64,
                      (20000, 3000, 3000)),
    "file1k": Workload("HTTP file of 1 KiB, keep-alive, 64 connections", "http", 64,
                       (100000, 10000, 10000), "/1k.bin", base="nginx"),
    "file64k": Workload("HTTP file of 64 KiB, keep-alive, 64 connections", "http", 64,
                        (20000, 5000, 5000), "/64k.bin", base="nginx"),
    "file1m": Workload("HTTP file of 1 MiB, keep-alive, 16 connections", "http", 16,
                       (3000, 1000, 1000), "/1m.bin", base="lighttpd", per=("GB", 1.048576e-3)),
    "file64m": Workload("HTTP file of 64 MiB, keep-alive, 4 connections", "http", 4,
                        (60, 20, 20), "/64m.bin", base="lighttpd", per=("GB", 67.108864e-3)),
}
GROUPS = {"hello": ["hello64", "hello512"], "files": ["file1k", "file64k", "file1m", "file64m"]}
OTHERS = ["idle", "clients"]    # with the servers of http
WITHOUT_SERVERS = ["switch", "memory", "copy", "turns", "pollers"]


class Failure(Exception):
    pass


def say(*words):
    print(*words, file=sys.stderr, flush=True)


# ---- processes: every child is in `children` until it is reaped ----

children = []


def spawn(argv, **more):
    proc = subprocess.Popen(argv, **more)
    children.append(proc)
    return proc


def stop(proc, sig=signal.SIGTERM, patience=3):
    if proc.poll() is None:
        proc.send_signal(sig)
        try:
            proc.wait(patience)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait(5)
    for pipe in (proc.stdin, proc.stdout, proc.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    if proc in children:
        children.remove(proc)


def family(pid):
    """pid and its descendants (nginx: master and worker)."""
    found = [pid]
    for p in found:
        with contextlib.suppress(OSError):
            with open(f"/proc/{p}/task/{p}/children") as f:
                found += [int(c) for c in f.read().split()]
    return found


def start_time(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def find_softirqd():
    """{CPU: pid of its ksoftirqd}; empty inside a container."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm") as f:
                m = re.fullmatch(r"ksoftirqd/(\d+)", f.read().strip())
            if m:
                found[int(m[1])] = int(pid)
    return found


def cpu_ns(pids):
    """What the threads of processes have run; they live on."""
    total = 0
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                total += int(f.read().split()[0])
    return total


# ---- servers ----

class Setup:
    """Where things are: the build, the file served, a private place for what servers write."""

    def __init__(self, build, scratch):
        self.build, self.scratch = build, scratch
        self.softirqd = find_softirqd()
        self.www = os.path.join(scratch, "www")
        os.mkdir(self.www)
        with open(os.path.join(self.www, "hello.txt"), "wb") as f:
            f.write(HELLO)

    def content(self, path):
        """Of a file that is served; one of FILES is made when it is first asked for."""
        file = self.www + path
        if path in FILES and not os.path.exists(file):
            with open(file, "wb") as f:
                f.write(random.Random(path).randbytes(FILES[path]))
        with open(file, "rb") as f:
            return f.read()

    def tool(self, name):
        return os.path.join(self.build, "bench", name)

    def runnel(self):
        return os.path.join(self.build, "runnel")

    def config(self, peer, port, single=False):
        """Writes peers/PEER.conf.in with its words filled in; returns its path and its directory."""
        prefix = tempfile.mkdtemp(prefix=peer + "-", dir=self.scratch)
        with open(os.path.join(HERE, "peers", peer + ".conf.in")) as f:
            text = f.read()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        words = {"PREFIX": prefix, "PORT": port, "ROOT": self.www,
                 "MASTER": "off" if single else "on",
                 # A worker that is nobody cannot read the private directory.
                 "NGINX_USER": "user root;" if os.geteuid() == 0 else "",
                 "H2O_USER": "user: root" if os.geteuid() == 0 else "",
                 "NOFILE": files, "CONNECTIONS": files - 500}
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        path = os.path.join(prefix, peer + ".conf")
        with open(path, "w") as f:
            f.write(text)
        return path, prefix

    def program(self, peer, kind):
        """The executable of a peer for kind echo or http; None where it has no such server."""
        return {("floor", "echo"): self.tool("floor"), ("floor", "http"): self.tool("floor"),
                ("runnel", "echo"): self.runnel(), ("runnel", "http"): self.runnel(),
                ("runnel-c", "echo"): self.runnel(),
                ("runnel-uring", "echo"): self.runnel(), ("runnel-uring", "http"): self.runnel(),
                ("runnel-c-uring", "echo"): self.runnel(),
                **{(peer, "echo"): self.tool("uring_echo") for peer in URING_PEERS},
                ("go", "echo"): self.tool("go_echo"), ("go", "http"): self.tool("go_http"),
                ("nginx", "http"): shutil.which("nginx") or "/usr/sbin/nginx",
                ("lighttpd", "http"): shutil.which("lighttpd") or "/usr/sbin/lighttpd",
                ("h2o", "http"): shutil.which("h2o") or "/usr/bin/h2o",
                ("uv", "echo"): self.tool("uv_echo"),
                ("st", "echo"): self.tool("st_echo")}.get((peer, kind))

    def command(self, peer, workload, port, single=False):
        kind = workload.kind
        program = self.program(peer, kind)
        if peer in ("runnel-uring", "runnel-c-uring"):
            return ["env", "RN_POLLER=io_uring",
                    *self.command(peer.removesuffix("-uring"), workload, port, single)]
        if peer in URING_PEERS:
            return [program, peer.removeprefix("uring-"), str(port)]
        if peer == "floor":
            return [program, kind, str(port)] + ([self.www + workload.path] if kind == "http" else [])
        if peer == "runnel" and kind == "echo":
            return [program, "echo", f"127.0.0.1:{port}"]
        if peer == "runnel-c":
            return [program, "echo", "--coroutines", f"127.0.0.1:{port}"]
        if peer == "runnel":
            return [program, "serve", "--listen", f"127.0.0.1:{port}", self.www]
        if peer == "nginx":
            path, prefix = self.config(peer, port, single)
            return [program, "-p", prefix, "-e", os.path.join(prefix, "error.log"), "-c", path]
        if peer == "lighttpd":
            return [program, "-D", "-f", self.config(peer, port)[0]]
        if peer == "h2o":
            return [program, "-m", "worker", "-c", self.config(peer, port)[0]]
        return [program, str(port)] + ([self.www] if kind == "http" else [])

    def serves(self, peer, workload):
        """Whether there is such a server, installed or not."""
        return self.program(peer, workload.kind) and (
            peer != "floor" or FILES.get(workload.path, 0) <= FLOOR_BYTES)


FLOOR_BYTES = 64 << 10      # it reads its file into memory
PEERS = ["floor", "runnel", "runnel-c", "go", "nginx", "lighttpd", "h2o", "uv", "st"]
# Only where asked for: runnel on io_uring, and raw io_uring in the ways of peers/uring_echo.c.
URING_PEERS = ["uring-poll-send", "uring-multi-send", "uring-multi-op", "uring-one-send",
               "uring-one-op"]
MORE_PEERS = ["runnel-uring", "runnel-c-uring", *URING_PEERS]
MADE_FOR_CALLGRIND = ["floor", "runnel", "runnel-c", "nginx", "uv", "st"]     # valgrind runs no Go


def pick_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, setup, peer, workload, wrap=(), single=False, patience=10, layout="two"):
        self.cpus, batch = LAYOUTS[layout], ["chrt", "--batch", "0"] if layout == "one" else []
        self.peer, self.kind, self.path = peer, workload.kind, workload.path
        self.port = pick_port()
        self.content = setup.content(self.path)
        self.log = tempfile.NamedTemporaryFile(dir=setup.scratch, prefix=peer + "-", suffix=".log")
        argv = ["taskset", "-c", str(self.cpus["server"]), *batch, *wrap,
                *setup.command(peer, workload, self.port, single)]
        self.proc = spawn(argv, stdin=subprocess.DEVNULL, stdout=self.log,
                          stderr=subprocess.STDOUT, cwd=setup.scratch)
        try:
            self.wait_ready(patience)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def said(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()[-2000:].strip()

    def check_alive(self):
        if self.proc.poll() is not None:
            raise Failure(f"{self.peer} ({self.kind}) died with status {self.proc.returncode}: "
                          f"{self.said() or 'it printed nothing'}")

    def wait_ready(self, patience):
        """Ready is not listening but answering, and answering rightly."""
        give_up, why = time.monotonic() + patience, None
        while time.monotonic() < give_up:
            self.check_alive()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                    s.settimeout(5)
                    self.probe(s)
                    return
            except OSError as e:
                why = e
                time.sleep(0.02)
        raise Failure(f"{self.peer} ({self.kind}) is not ready after {patience} s: {why}. "
                      f"{self.said()}")

    def probe(self, s):
        if self.kind == "echo":
            ask, want = b"p" * 64, b"p" * 64
        else:
            ask = (f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                   "Connection: close\r\n\r\n").encode()
            want = b"\r\n\r\n" + self.content
        s.sendall(ask)
        got = bytearray()
        while not got.endswith(want):
            piece = s.recv(1 << 20)
            if not piece:
                raise Failure(f"{self.peer} ({self.kind}) answers wrongly: {bytes(got[:300])!r}")
            got += piece

    def pids(self):
        return family(self.proc.pid)

    def pss_bytes(self):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += 1024 * int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1])
        return total

    def stop(self):
        rest = {pid: start_time(pid) for pid in self.pids()[1:]}
        stop(self.proc)
        for pid, born in rest.items():
            if born and start_time(pid) == born:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.log.close()


# ---- the client ----

def client_argv(setup, server, workload, *more):
    argv = ["taskset", "-c", str(server.cpus["client"]), setup.tool("load"), workload.mode,
            "--port", str(server.port), "--path", workload.path, "--conns", str(workload.conns),
            "--pipeline", str(workload.pipeline), *map(str, more)]
    for pid in server.pids():
        argv += ["--pid", str(pid)]
    for side, cpu in server.cpus.items():
        if side == "server" or cpu != server.cpus["server"]:
            argv += [f"--{side}-softirqd", str(setup.softirqd.get(cpu, 0))]
    return argv


def run_client(setup, server, workload, *more, timeout=60):
    proc = spawn(client_argv(setup, server, workload, *more), stdin=subprocess.DEVNULL,
                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = proc.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"the client did not end against {server.peer}") from None
    finally:
        stop(proc)
    server.check_alive()
    if not out:
        raise Failure(f"the client failed against {server.peer}: {err.strip()}")
    if err:
        say(f"  {server.peer}: {err.strip()}")
    return json.loads(out.splitlines()[0])


class GatedClient:
    """Connected, waiting; go() sends the requests and returns when the last was answered."""

    def __init__(self, setup, server, workload, requests):
        mode = workload.mode
        more = ("--requests", requests, "--gate") if mode != "idle" else ()
        self.server, self.requests = server, requests
        self.proc = spawn(client_argv(setup, server, workload, *more), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if mode != "idle":
            self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.proc)

    def line(self):
        line = self.proc.stdout.readline()      # bounded: the client gives up by itself
        if not line:
            raise Failure(f"the client failed against {self.server.peer}: "
                          f"{self.proc.stderr.read().strip()} {self.server.said()}")
        return line

    def go(self):
        self.proc.stdin.write("\n")
        self.proc.stdin.flush()
        return json.loads(self.line())

