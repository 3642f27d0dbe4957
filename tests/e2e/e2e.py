"""e2e.py - what the end-to-end tests share: programs that listen, small clients, the runner.

Each case is a function test_* of its module, with its own time limit; what it starts is ended by pid,
also when the script dies. main prints the harness' lines, the last one "N passed, N failed, N skipped".
Traffic stays on 127.0.0.1."""
import ctypes
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
import threading
import time
import traceback
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(sys.argv[1])
RUNNEL = os.path.join(BUILD, "runnel")
RESET = b"\1\0\0\0\0\0\0\0"  # struct linger: on, 0 s
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
libc = ctypes.CDLL(None)
go_folder = tempfile.TemporaryDirectory()
os.environ["RN_WATCHDOG"] = "0"     # it would tell of a machine that pauses, where nothing is to be told


def is_sanitized():
    with open(os.path.join(BUILD, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as f:
        return any(o["name"] == "b_sanitize" and o["value"] not in ("none", []) for o in json.load(f))


SANITIZED = is_sanitized()
LIMIT = 180 if SANITIZED else 90    # seconds: for a machine that is ten times slower than most


class Skip(Exception):
    pass


class Program:
    """A program that listens on `port`; it should end with status 0, and its stderr is kept."""

    def __init__(self, *argv, limit=None, stdout=None, **env):
        def prepare():
            die_with_us()
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        self.port = free_port()
        self.err = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(a).replace("PORT", str(self.port)) for a in argv],
                                        stdin=subprocess.DEVNULL, stdout=stdout, stderr=self.err,
                                        env=dict(os.environ, **env), preexec_fn=prepare)
        until(lambda: self.process.poll() is not None or not self.is_refusing(), "nobody listens")
        if self.process.poll() is not None:
            raise AssertionError(f"{argv[0]} ended: {self.stderr()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        text = self.stderr()
        self.err.close()
        if kind:
            print(text)  # beside the traceback
        assert kind or not re.search("Sanitizer|runtime error|panic", text), text

    def connect(self, room=None):
        c = socket.socket()
        if room:  # before the connect: later the kernel advertises windows of a few bytes
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        c.settimeout(LIMIT / 3)
        try:
            c.connect(("127.0.0.1", self.port))
        except OSError:
            c.close()
            raise
        return c

    def is_refusing(self):
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:    # it has just stopped to listen
            pass
        return False

    def stderr(self):
        self.err.seek(0)
        return self.err.read().decode(errors="replace")

    def send(self, signo):
        self.process.send_signal(signo)

    def end(self, signo=signal.SIGINT):
        self.send(signo)
        return self.process.wait(LIMIT / 3)

    def curl(self, path, *options):
        if shutil.which("curl") is None:
            raise Skip("no curl")
        return subprocess.run(["curl", "-s", "--path-as-is", "--max-time", str(LIMIT / 2), *options,
                               f"http://127.0.0.1:{self.port}{path}"], capture_output=True,
                              check=False).stdout

    def talk(self, data):
        """Sends bytes, returns all that comes until the end of stream."""
        with self.connect() as c:
            c.sendall(data)
            return read_all(c)

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return 1024 * int(re.search(r"^VmRSS:\s+(\d+)", f.read(), re.M)[1])

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def site():
    """Files by name, as `runnel serve` is to serve them, and what it must not serve beside them."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)  # for whoever the server becomes
    files = {"index.html": b"<p>home</p>", "style.css": b"p{}", "data.json": b"{}", "empty.txt": b"",
             ".secret": b"no", "sub/index.html": b"<p>sub</p>", "noindex/x.txt": b"x",
             # Fills any socket buffer; no NUL, so that a hole shows.
             "big.bin": bytes(range(1, 252)) * 133_700}
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    os.symlink("/etc/passwd", os.path.join(folder, "outside"))
    os.symlink("style.css", os.path.join(folder, "inside.css"))
    os.mkfifo(os.path.join(folder, "fifo"))
    return folder, files


class Serve(Program):
    def __init__(self, *options, **more):
        self.folder, self.files = site()
        self.big = self.files["big.bin"]
        super().__init__(RUNNEL, "serve", "--listen", "127.0.0.1:PORT", *options, self.folder, **more)

    def __exit__(self, *a):
        try:
            super().__exit__(*a)
        finally:
            shutil.rmtree(self.folder)


class Admin(Serve):
    def __init__(self, *options, **more):
        self.admin = free_port()
        super().__init__("--admin", f"127.0.0.1:{self.admin}", *options, **more)

    def url(self, path):
        return f"http://127.0.0.1:{self.admin}{path}"

    def get(self, path):
        with urllib.request.urlopen(self.url(path), timeout=LIMIT / 3) as answer:
            return answer.read().decode()

    def stats(self):
        return json.loads(self.get("/debug/stats.json"))

    def ask(self, n, path=b""):
        with self.connect() as c:
            for _ in range(n):
                c.sendall(GET % path)
                read_response(c)


claims = []     # of ports, until this process ends


def free_port():
    """One that nobody has, and that no test has been given, this or one beside it: a name says so. Not of those
    that the kernel hands out (32768 and above): a connection of a test beside this one could have it a moment later."""
    while True:
        port = random.randrange(10000, 32768)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0runnel-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        claims.append(claim)
        return port


def read_all(c):
    out = bytearray()
    while chunk := c.recv(1 << 18):
        out += chunk
    return bytes(out)


def read_exactly(c, n):
    out = bytearray()
    while len(out) < n:
        chunk = c.recv(n - len(out))
        assert chunk, f"end after {len(out)} of {n} bytes"
        out += chunk
    return bytes(out)


def read_line(c):
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(c, 1)
    return line


def read_head(c):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(c, 1)
    return head


def read_response(s):
    """One response with Content-Length: its head and its body."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += read_exactly(s, 1)
    length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
    return head, read_exactly(s, length)


def ends_in_reset(c):
    try:
        read_all(c)
    except ConnectionResetError:
        return True
    return False


def until(condition, what):
    end = time.monotonic() + LIMIT / 2
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def example(name):
    path = os.path.join(BUILD, "examples", "example_" + name)
    if not os.path.exists(path):
        raise Skip(f"{name} is not built: its library is missing")
    return path


def need(program):
    if shutil.which(program) is None:
        raise Skip(f"no {program}")


def built_by_go(source):
    """The program of one Go file beside the tests, once for each file."""
    need("go")
    path = os.path.join(go_folder.name, source.replace("/", "-")[:-3])
    if not os.path.exists(path):
        env = dict(os.environ, GOCACHE=os.path.join(BUILD, "go-cache"), GO111MODULE="off")
        signal.alarm(6 * LIMIT)     # the first time all of Go's library is built, too
        subprocess.run(["go", "build", "-o", path, os.path.join(HERE, source)], env=env, check=True)
        signal.alarm(LIMIT)
    return path


def die_with_us():
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def in_threads(n, fn):
    wrong = []

    def one(i):
        try:
            fn(i)
        except Exception as e:  # handed to the test below
            wrong.append(e)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[0]


def give_up(*_):
    raise TimeoutError(f"more than {LIMIT} s")


def main(cases):
    counts = {"ok": 0, "not ok": 0, "skip": 0}
    signal.signal(signal.SIGALRM, give_up)
    for name, test in list(cases.items()):
        if not name.startswith("test_") or (sys.argv[2:] and not any(a in name for a in sys.argv[2:])):
            continue
        start, why, how = time.monotonic(), "", "ok"
        signal.alarm(LIMIT)
        try:
            test()
        except Skip as e:
            how, why = "skip", f": {e}"
        except Exception:
            how, why = "not ok", "\n" + traceback.format_exc()
        signal.alarm(0)
        counts[how] += 1
        ms = f" ({(time.monotonic() - start) * 1000:.0f} ms)" if how == "ok" else ""
        print(f"{how} {name[5:]}{ms}{why}", flush=True)
    print(f"{counts['ok']} passed, {counts['not ok']} failed, {counts['skip']} skipped")
    sys.exit(counts["not ok"] > 0)
